//! `-s`: sends signals to another process.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::hung_files::make_fifo;
use crate::proxy::{NginxLike, write_conf};
use crate::sockets::{Conversation, Reserved, ask, within};

/// Sends a signal to the process of the configuration `conf` in `dir`.
fn send(program: impl AsRef<OsStr>, dir: &Path, conf: &str, signal: &str) -> Output {
    let mut command = Command::new(program);
    let command = command.args(["-s", signal, "-p"]).arg(dir);
    command.arg("-c").arg(dir.join(conf)).output().unwrap()
}

fn ours() -> &'static str {
    env!("CARGO_BIN_EXE_nginx_like")
}

/// A server that listens and writes a pid file.
struct Serving {
    proxy: NginxLike,
    node: Reserved,
    pid: String,
    _dir: TempDir,
}

impl Serving {
    async fn start() -> Self {
        let node = Reserved::any();
        drop(node.serve("node").await); // detached: it lives as long as the test's runtime
        let dir = tempfile::tempdir().unwrap();
        let pid = format!("pid {};", dir.path().join("nginx.pid").display());
        let stream = format!("server {{ listen LISTEN; proxy_pass {}; }}", node.addr);
        let proxy = NginxLike::start(&pid, &stream).await;
        Self {
            proxy,
            node,
            pid,
            _dir: dir,
        }
    }
}

fn tell_it(proxy: &NginxLike, signal: &str) {
    let Output { status, stderr, .. } = send(ours(), proxy.dir(), "test.conf", signal);
    assert!(status.success() && stderr.is_empty(), "{stderr:?}");
}

#[tokio::test]
async fn reload_and_reopen_reach_the_process_of_the_pid_file() {
    let Serving {
        proxy,
        node,
        pid,
        _dir,
    } = Serving::start().await;
    tell_it(&proxy, "reopen");
    tell_it(&proxy, "reload");
    proxy.logged("Configuration applied").await;
    let stream = format!(
        "server {{ listen LISTEN; proxy_pass {}; nonsense; }}",
        node.addr
    );
    proxy.configure(&pid, &stream);
    // As in nginx the process that sends the signal reads the configuration, too.
    let output = send(ours(), proxy.dir(), "test.conf", "reload");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let expected = "nginx_like: [emerg] unknown directive \"nonsense\" in ";
    assert!(stderr.starts_with(expected), "{stderr}");
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
}

#[tokio::test]
async fn quit_drains_and_stop_cuts_off() {
    let Serving { proxy, _dir, .. } = Serving::start().await;
    let mut open = Conversation::open(proxy.addr).await.unwrap();
    assert_eq!(open.say("hello").await.unwrap(), "node");
    tell_it(&proxy, "quit");
    within("the drain", proxy.refused()).await;
    assert_eq!(open.say("still there?").await.unwrap(), "node");
    tell_it(&proxy, "stop");
    assert!(proxy.exit().await.success());
    open.say("hello?").await.expect_err("the connection is cut");
}

/// The content of a pid file, if it exists, and the error. `PID` is an id that no process has.
const FAILURES: [(Option<&str>, &str); 6] = [
    (
        None,
        "[error] open() \"nginx.pid\" failed (2: No such file or directory)",
    ),
    (Some(""), "[error] invalid PID number \"\" in \"nginx.pid\""),
    (
        Some("abc\n"),
        "[error] invalid PID number \"abc\" in \"nginx.pid\"",
    ),
    (
        Some("12 34\n"),
        "[error] invalid PID number \"12 34\" in \"nginx.pid\"",
    ),
    (
        Some("-1\n"),
        "[error] invalid PID number \"-1\" in \"nginx.pid\"",
    ),
    (
        Some("PID\n"),
        "[alert] kill(PID, 15) failed (3: No such process)",
    ),
];

/// Content that nginx would read as groups of processes, or as another process than the written one.
const OURS: [(Option<&str>, &str); 2] = [
    (
        Some("0\n"),
        "[error] invalid PID number \"0\" in \"nginx.pid\"",
    ),
    (
        Some("99999999999\n"),
        "[error] invalid PID number \"99999999999\" in \"nginx.pid\"",
    ),
];

#[test]
fn a_fifo_as_pid_file_reads_as_empty() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("nginx.pid");
    make_fifo(&pid_file);
    let text = format!("pid {};", pid_file.display());
    write_conf(dir.path(), &text);
    let output = send(ours(), dir.path(), "test.conf", "stop");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("invalid PID number \"\""), "{stderr}");
}

#[test]
fn a_pid_file_that_names_no_process_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("nginx.pid");
    let quoted = format!("\"{}\"", pid_file.display());
    write_conf(dir.path(), &format!("pid {quoted}; events {{}}"));
    // The first id that the kernel does not use.
    let unused = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    let insert = |text: &str| {
        let text = text.replace("PID\n", &unused);
        let text = text.replace("PID,", &format!("{},", unused.trim_end()));
        text.replace("\"nginx.pid\"", &quoted)
    };
    let stderr = |output: Output| {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let nginx = env::var_os("LB_TEST_NGINX");
    for (i, (content, expected)) in FAILURES.into_iter().chain(OURS).enumerate() {
        if let Some(content) = content {
            fs::write(&pid_file, insert(content)).unwrap();
        }
        let expected = insert(expected);
        let said = stderr(send(ours(), dir.path(), "test.conf", "stop"));
        assert!(
            said.starts_with(&format!("nginx_like: {expected}")),
            "{said}"
        );
        assert!(said.contains(&quoted), "{said}");
        if let Some(nginx) = nginx.as_ref().filter(|_| i < FAILURES.len()) {
            let said = stderr(send(nginx, dir.path(), "test.conf", "stop"));
            let (level, message) = expected.split_once(' ').unwrap();
            assert!(said.contains(level) && said.contains(message), "{said}");
        }
    }
}

#[test]
fn without_a_pid_directive_the_default_path_names_the_process() {
    let dir = tempfile::tempdir().unwrap();
    write_conf(dir.path(), "events {}");
    let output = send(ours(), dir.path(), "test.conf", "reload");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.starts_with("nginx_like: [error] open() \"")
            && stderr.ends_with("logs/nginx.pid\" failed (2: No such file or directory)\n"),
        "{stderr}"
    );
    let output = send(ours(), dir.path(), "test.conf", "jump");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("stop, quit, reload, reopen"), "{stderr}");
}
