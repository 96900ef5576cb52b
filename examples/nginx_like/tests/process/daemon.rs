//! `daemon on`, and the `pid` of a configuration without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::command_line::run;
use crate::proxy::write_conf;
use crate::sockets::{Reserved, ask, eventually};
use crate::user::{USER, is_root};

/// A configuration in a directory of its own, which is the prefix. What it has started is killed when this is dropped.
struct Site {
    dir: TempDir,
    listen: Reserved,
}

impl Site {
    /// A server in front of an echo server. `main` is on the main level.
    async fn new(main: &str) -> Self {
        let (listen, node) = (Reserved::any(), Reserved::any());
        drop(node.serve("node").await); // detached: it lives as long as the test's runtime
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        let text = format!(
            "{main} events {{}} stream {{ server {{ listen {}; proxy_pass {}; }} }}",
            listen.addr, node.addr
        );
        write_conf(dir.path(), &text);
        Self { dir, listen }
    }

    /// Runs nginx_like for this configuration: its exit code, and what it printed to both streams.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let arguments = [&["-p", ".", "-c", "test.conf"], arguments].concat();
        let (output, stderr) = run(&arguments, self.dir.path());
        let stdout = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), stdout + &stderr)
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.path().join("logs/nginx.pid")
    }

    fn pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The session of a process: the fourth number behind its name.
fn session_of(pid: Pid) -> String {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let (_, numbers) = stat.rsplit_once(") ").unwrap();
    numbers.split(' ').nth(3).unwrap().to_owned()
}

async fn serves_until_it_is_stopped(site: &Site, arguments: &[&str]) {
    // Returns although the server runs on, so no stream of this process is left open.
    assert_eq!(site.run(arguments), (Some(0), String::new()));
    // It listens already, and its id is known.
    assert_eq!(ask(site.listen.addr).await.unwrap(), "node");
    let pid = site.pid().expect("the id of the daemon");
    assert_eq!(session_of(pid), pid.as_raw_nonzero().to_string());
    for signal in ["reopen", "reload"] {
        assert_eq!(site.run(&["-s", signal]), (Some(0), String::new()));
    }
    let log = site.dir.path().join("logs/error.log");
    let is_applied = || fs::read_to_string(&log).is_ok_and(|log| log.contains("applied"));
    eventually("the reload", is_applied).await;
    assert_eq!(ask(site.listen.addr).await.unwrap(), "node");
    assert_eq!(site.run(&["-s", "stop"]), (Some(0), String::new()));
    eventually("the end of the daemon", || !site.pid_file().exists()).await;
}

#[tokio::test]
async fn a_daemon_leaves_the_process_that_started_it_once_it_listens() {
    let site = Site::new("daemon on; error_log logs/error.log info;").await;
    serves_until_it_is_stopped(&site, &[]).await;
    let site = Site::new("error_log logs/error.log info;").await;
    serves_until_it_is_stopped(&site, &["-g", "daemon on; master_process on;", "-q"]).await;
}

/// A link of this name, to the binary, in the place of nginx.
fn link(site: &Site) -> PathBuf {
    let link = site.dir.path().join("nginx");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_nginx_like"), &link).unwrap();
    link
}

/// As units of distributions run it, with `Type=forking` and nothing about a daemon.
#[tokio::test]
async fn a_program_that_is_called_nginx_is_a_daemon_by_default() {
    let site = Site::new("error_log logs/error.log info;").await;
    let link = link(&site);
    let run = |arguments: &[&str]| {
        let output = Command::new(&link)
            .args(["-p", ".", "-c", "test.conf"])
            .args(arguments)
            .current_dir(site.dir.path())
            .output()
            .unwrap();
        (
            output.status.code(),
            output.stdout.len() + output.stderr.len(),
        )
    };
    // It returns although the server runs on, and has printed nothing.
    assert_eq!(run(&[]), (Some(0), 0));
    assert_eq!(ask(site.listen.addr).await.unwrap(), "node");
    let pid = site.pid().expect("the id of the daemon");
    assert_eq!(session_of(pid), pid.as_raw_nonzero().to_string());
    assert_eq!(run(&["-s", "reload"]), (Some(0), 0));
    let log = site.dir.path().join("logs/error.log");
    let is_applied = || fs::read_to_string(&log).is_ok_and(|log| log.contains("applied"));
    eventually("the reload", is_applied).await;
    assert_eq!(run(&["-s", "quit"]), (Some(0), 0));
    eventually("the end of the daemon", || !site.pid_file().exists()).await;
}

#[tokio::test]
async fn daemon_off_keeps_a_program_that_is_called_nginx_in_the_foreground() {
    for (main, arguments) in [
        ("daemon off; error_log stderr info;", &[][..]),
        ("error_log stderr info;", &["-g", "daemon off;"][..]),
    ] {
        let site = Site::new(main).await;
        let mut serving = Command::new(link(&site))
            .args(["-p", ".", "-c", "test.conf"])
            .args(arguments)
            .current_dir(site.dir.path())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let id = serving.id().to_string();
        let is_written = || fs::read_to_string(site.pid_file()).is_ok_and(|text| text.trim() == id);
        eventually("the id of the process in the foreground", is_written).await;
        assert_eq!(ask(site.listen.addr).await.unwrap(), "node");
        serving.kill().unwrap();
        serving.wait().unwrap();
    }
}

/// nginx has no demonstration.
#[test]
fn a_program_that_is_called_nginx_needs_a_configuration() {
    if Path::new("/etc/nginx/nginx.conf").exists() {
        eprintln!("skipped: this machine has a configuration of nginx");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("nginx");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_nginx_like"), &link).unwrap();
    let output = Command::new(&link)
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("conf/nginx.conf"), "{stderr}");
}

#[tokio::test]
async fn a_daemon_of_another_user_leaves_the_process_that_started_it() {
    if !is_root() {
        return;
    }
    let main = format!("user {USER}; daemon on; error_log logs/error.log info;");
    let site = Site::new(&main).await;
    serves_until_it_is_stopped(&site, &[]).await;
}

#[tokio::test]
async fn a_daemon_that_does_not_start_fails_the_process_that_started_it() {
    let site = Site::new("daemon on; error_log logs/error.log;").await;
    let taken = tokio::net::TcpListener::bind(site.listen.addr)
        .await
        .unwrap();
    let (code, printed) = site.run(&[]);
    assert_eq!(code, Some(1));
    let expected = format!(
        "nginx_like: [emerg] bind() to {} failed (98: Address already in use)",
        site.listen.addr
    );
    assert!(printed.starts_with(&expected), "{printed}");
    assert!(!site.pid_file().exists());
    drop(taken);
    // A mistake is reported before a daemon starts.
    write_conf(site.dir.path(), "daemon on; nonsense;");
    let (code, printed) = site.run(&[]);
    assert_eq!(code, Some(1));
    assert_eq!(
        printed,
        "nginx_like: [emerg] unknown directive \"nonsense\" in test.conf:1\n"
    );
}

#[test]
fn a_daemon_does_not_take_sockets_that_were_passed_to_the_process_that_started_it() {
    let dir = tempfile::tempdir().unwrap();
    write_conf(
        dir.path(),
        &format!("daemon on; {}", crate::command_line::GOOD),
    );
    // The shell is replaced by the process, and so has its id.
    let command = format!(
        "LISTEN_FDS=1 LISTEN_PID=$$ exec {} -c test.conf",
        env!("CARGO_BIN_EXE_nginx_like")
    );
    let output = Command::new("sh")
        .args(["-c", &command])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains("LISTEN_FDS") && stderr.contains("\"daemon off;\""),
        "{stderr}"
    );
}

#[tokio::test]
async fn without_a_directory_for_it_there_is_no_pid_file() {
    let site = Site::new("error_log stderr info;").await;
    let logs = site.dir.path().join("logs");
    fs::remove_dir(&logs).unwrap();
    let mut serving = Command::new(env!("CARGO_BIN_EXE_nginx_like"))
        .args(["-p", ".", "-c", "test.conf"])
        .current_dir(site.dir.path())
        .spawn()
        .unwrap();
    eventually("a server without a pid file", || {
        std::net::TcpStream::connect(site.listen.addr).is_ok()
    })
    .await;
    assert!(!Path::new(&logs).exists());
    serving.kill().unwrap();
    serving.wait().unwrap();
}

#[tokio::test]
async fn a_daemon_is_upgraded_and_stops_accepting_by_sigwinch_also_alone() {
    let site = Site::new("daemon on; error_log logs/error.log info;").await;
    assert_eq!(site.run(&[]), (Some(0), String::new()));
    let old = site.pid().unwrap();
    let signal = |pid, signal| kill_process(pid, signal).unwrap();
    let log = site.dir.path().join("logs/error.log");
    let logged = |text: &str| fs::read_to_string(&log).is_ok_and(|log| log.contains(text));
    signal(old, Signal::WINCH);
    eventually("the pause", || logged("Stopped accepting")).await;
    let waiting = tokio::spawn(ask(site.listen.addr));
    signal(old, Signal::HUP);
    assert_eq!(waiting.await.unwrap().unwrap(), "node");
    signal(old, Signal::USR2);
    eventually("the new process", || {
        site.pid().is_some_and(|pid| pid != old)
    })
    .await;
    let new = site.pid().unwrap();
    assert_eq!(session_of(new), new.as_raw_nonzero().to_string());
    signal(old, Signal::QUIT);
    eventually("the old process to leave", || logged("old binary leaves")).await;
    assert_eq!(ask(site.listen.addr).await.unwrap(), "node");
    assert_eq!(site.run(&["-s", "stop"]), (Some(0), String::new()));
    eventually("the end of the daemon", || !site.pid_file().exists()).await;
}
