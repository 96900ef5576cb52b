//! Reports of readiness to keepalived, systemd and supervisors: `lb_ready_file`, `lb_essential`, `lb_withdraw_delay`, `NOTIFY_SOCKET`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use test_support::deadline::DEADLINE;
use tokio::net::UnixDatagram;
use tokio::process::Command;
use tokio::task::spawn_blocking;

use crate::admin::json;
use crate::proxy::NginxLike;
use crate::sockets::{Conversation, Reserved, ask, eventually, within};

/// A node, and a server in front of it.
pub(crate) async fn node() -> (Reserved, String) {
    let node = Reserved::any();
    let addr = node.addr;
    drop(node.serve("node").await); // detached: it lives as long as the test's runtime
    let stream =
        format!("upstream u {{ server {addr}; }} server {{ listen LISTEN; proxy_pass u; }}");
    (node, stream)
}

/// A path for a file in a directory of its own, and the directory.
fn ready_path() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ready");
    (dir, path)
}

/// Waits until the file has this content.
pub(crate) async fn says(path: &Path, content: &str) {
    let what = format!("{content:?} in the readiness file");
    let is_said = || fs::read_to_string(path).is_ok_and(|found| found == content);
    eventually(&what, is_said).await;
}

#[tokio::test]
async fn the_file_says_ready_until_the_shutdown_and_sessions_begin_until_the_address_is_withdrawn()
{
    let (_node, stream) = node().await;
    let (_dir, path) = ready_path();
    // That of a process that was killed.
    fs::write(&path, "0\n").unwrap();
    let main = format!(
        "lb_ready_file {} ready=7 not_ready=-254 leaving=-60; lb_withdraw_delay 1s;",
        path.display()
    );
    let proxy = NginxLike::start(&main, &stream).await;
    says(&path, "7\n").await;
    let mut open = Conversation::open(proxy.addr).await.unwrap();
    assert_eq!(open.say("hello").await.unwrap(), "node");
    proxy.signal(Signal::QUIT);
    // 1. Not ready, and clients are served.
    says(&path, "-60\n").await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    proxy
        .logged("New connections still accepted lb_withdraw_delay=1s")
        .await;
    // 2. Clients are refused, and open sessions go on.
    proxy.refused().await;
    assert_eq!(open.say("still there?").await.unwrap(), "node");
    drop(open);
    assert!(proxy.exit().await.success());
    // 3. keepalived takes a missing file for 0, so it stays.
    assert_eq!(fs::read_to_string(&path).unwrap(), "-60\n");
}

#[tokio::test]
async fn a_fast_stop_says_not_ready_as_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_node, stream) = node().await;
        let (_dir, path) = ready_path();
        let main = format!("lb_ready_file {}; worker_processes 2;", path.display());
        let proxy = NginxLike::start(&main, &stream).await;
        says(&path, "0\n").await;
        proxy.signal(signal);
        assert!(proxy.exit().await.success());
        assert_eq!(fs::read_to_string(&path).unwrap(), "-254\n");
    }
}

#[tokio::test]
async fn an_essential_upstream_without_a_usable_server_is_not_ready_until_one_may_be_tried_again() {
    let [first, second] = [Reserved::any(), Reserved::any()];
    let (_dir, path) = ready_path();
    let stream = format!(
        "upstream u {{
            lb_essential;
            server {} fail_timeout=1s;
            server {} fail_timeout=1s;
        }}
        server {{ listen LISTEN; proxy_pass u; }}",
        first.addr, second.addr
    );
    let main = format!("lb_ready_file {};", path.display());
    let proxy = NginxLike::start(&main, &stream).await;
    says(&path, "0\n").await;
    ask(proxy.addr).await.unwrap_err();
    says(&path, "-254\n").await;
    proxy.logged("upstream \"u\" has no usable backend").await;
    drop(first.serve("first").await);
    says(&path, "0\n").await;
    let served = async { while ask(proxy.addr).await.ok().as_deref() != Some("first") {} };
    within("an answer", served).await;
}

#[tokio::test]
async fn the_file_is_written_again_if_another_program_changes_it_and_its_age_is_bounded() {
    let (_node, stream) = node().await;
    let (_dir, path) = ready_path();
    let main = format!("lb_ready_file {} heartbeat=30ms;", path.display());
    let _proxy = NginxLike::start(&main, &stream).await;
    says(&path, "0\n").await;
    fs::write(&path, "-254\n").unwrap();
    says(&path, "0\n").await;
    fs::remove_file(&path).unwrap();
    says(&path, "0\n").await;
    let modified = || fs::metadata(&path).unwrap().modified().unwrap();
    let before = modified();
    eventually("a heartbeat", || modified() > before).await;
}

#[tokio::test]
async fn a_second_process_that_fails_to_start_does_not_change_the_file() {
    let (_node, stream) = node().await;
    let (dir, path) = ready_path();
    let main = format!("lb_ready_file {} heartbeat=30ms;", path.display());
    let proxy = NginxLike::start(&main, &stream).await;
    says(&path, "0\n").await;
    let file = fs::File::open(&path).unwrap();
    let text = format!(
        "{main} error_log stderr; pid {0}/none/pid;\nevents {{}}\nstream {{ {1} }}\n",
        dir.path().display(),
        stream.replace("LISTEN", &format!("unix:{}/front", dir.path().display()))
    );
    let conf = crate::proxy::write_conf(dir.path(), &text);
    let mut command = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    let output = command.arg("-c").arg(conf).output().await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("belongs to another process"), "{said}");
    let ino = |file: &fs::Metadata| std::os::unix::fs::MetadataExt::ino(file);
    let before = file.metadata().unwrap();
    assert_eq!(ino(&before), ino(&fs::metadata(&path).unwrap()));
    let is_renewed = || file.metadata().unwrap().modified().unwrap() > before.modified().unwrap();
    eventually("a heartbeat of the first process", is_renewed).await;
    says(&path, "0\n").await;
    // As `sed -i` does it, just before the end.
    let edited = dir.path().join("edited");
    fs::write(&edited, "0\n").unwrap();
    proxy.signal(Signal::STOP);
    fs::rename(edited, &path).unwrap();
    proxy.signal(Signal::QUIT);
    proxy.signal(Signal::CONT);
    assert!(proxy.exit().await.success());
    assert_eq!(fs::read_to_string(&path).unwrap(), "-254\n");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_an_error_at_the_start() {
    let (_node, stream) = node().await;
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "lb_ready_file {}/none/ready;\nevents {{}}\nstream {{ {} }}\n",
        dir.path().display(),
        stream.replace("LISTEN", "127.0.0.1:1")
    );
    let conf = crate::proxy::write_conf(dir.path(), &text);
    let mut command = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    let output = command.arg("-c").arg(conf).output().await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("\"lb_ready_file\""), "{said}");
    assert!(said.contains("none/ready\" cannot be written"), "{said}");
}

#[tokio::test]
async fn systemd_hears_of_the_start_the_state_the_watchdog_and_the_end() {
    let (_node, stream) = node().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    command.env("NOTIFY_SOCKET", &path);
    command.env("WATCHDOG_USEC", "60000");
    let proxy = NginxLike::start_by(command, Reserved::any(), "", &stream).await;
    let mut heard = String::new();
    let mut hear = async |text: &str| {
        let listen = async {
            let mut message = [0; 4096];
            while !heard.contains(text) {
                let length = socket.recv(&mut message).await.unwrap();
                heard.push_str(&String::from_utf8_lossy(&message[..length]));
            }
            heard.clear();
        };
        within(text, listen).await;
    };
    hear("READY=1").await;
    hear("STATUS=ready").await;
    for _ in 0..3 {
        hear("WATCHDOG=1").await;
    }
    proxy.signal(Signal::QUIT);
    hear("STOPPING=1").await;
    hear("STATUS=not ready: the server shuts down").await;
    assert!(proxy.exit().await.success());
}

/// The queue of its socket is full: a process that waited for room would neither serve nor react to signals.
#[tokio::test]
async fn a_service_manager_that_does_not_read_delays_nothing_and_hears_the_last_word_later() {
    let (_node, stream) = node().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let other = std::os::unix::net::UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    let sent = (0..).take_while(|_| other.send_to(b"X=1", &path).is_ok());
    let waiting = sent.count();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    command.env("NOTIFY_SOCKET", &path);
    command.env("WATCHDOG_USEC", "60000");
    let proxy = NginxLike::start_by(command, Reserved::any(), "", &stream).await;
    proxy.logged("Service manager not notified").await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    proxy.signal(Signal::HUP);
    proxy.logged("Configuration applied").await;
    let mut message = [0; 4096];
    for _ in 0..waiting {
        assert_eq!(socket.recv(&mut message).await.unwrap(), 3);
    }
    let length = within("a message", socket.recv(&mut message))
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&message[..length]).into_owned();
    let lines: Vec<_> = said.lines().collect();
    let said = |text| lines.iter().filter(|line| **line == text).count();
    assert_eq!(
        [said("READY=1"), said("STATUS=ready"), said("WATCHDOG=1")],
        [1; 3]
    );
    proxy.signal(Signal::QUIT);
    assert!(proxy.exit().await.success());
}

/// How long after the fact the file has each content, as the median and the worst of several rounds.
fn print_delays(fact: &str, mut delays: Vec<Duration>) {
    delays.sort_unstable();
    let (median, worst) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    eprintln!("the readiness file after {fact}: {median:?}, at most {worst:?}");
}

/// Waits for the content without a pause, and returns how long it took.
async fn delay_until(path: &Path, content: &'static str) -> Duration {
    let path = path.to_owned();
    let since = Instant::now();
    let watch = move || {
        while !fs::read_to_string(&path).is_ok_and(|found| found == content) {
            assert!(since.elapsed() < DEADLINE, "{content:?} took too long");
            std::hint::spin_loop();
        }
        since.elapsed()
    };
    spawn_blocking(watch).await.unwrap()
}

/// The figures in the documents are printed here: `--nocapture`.
#[tokio::test]
async fn the_file_follows_the_last_usable_server_and_the_shutdown_at_once() {
    let (_dir, path) = ready_path();
    let socket = path.with_file_name("admin");
    let [mut left, mut returned, mut quit] = [const { Vec::new() }; 3];
    for _ in 0..5 {
        let node = Reserved::any();
        drop(node.serve("node").await);
        let stream = format!(
            "lb_admin unix:{}; upstream u {{ lb_essential; server {}; }} server {{ listen LISTEN; proxy_pass u; }}",
            socket.display(),
            node.addr
        );
        let main = format!("lb_ready_file {} leaving=-60;", path.display());
        let proxy = NginxLike::start(&main, &stream).await;
        says(&path, "0\n").await;
        for _ in 0..4 {
            let changed = format!("/drain?backend={}", node.addr);
            let drained = delay_until(&path, "-254\n");
            left.push(tokio::join!(drained, json(&socket, "POST", &changed)).0);
            let changed = format!("/undrain?backend={}", node.addr);
            let undrained = delay_until(&path, "0\n");
            returned.push(tokio::join!(undrained, json(&socket, "POST", &changed)).0);
        }
        let leaving = delay_until(&path, "-60\n");
        quit.push(tokio::join!(leaving, async { proxy.signal(Signal::QUIT) }).0);
        assert!(proxy.exit().await.success());
    }
    print_delays("the last usable server was drained", left);
    print_delays("it was undrained", returned);
    print_delays("SIGQUIT", quit);
}

/// The time of the last change, which a supervisor looks at.
#[tokio::test]
async fn a_stopped_process_does_not_beat() {
    let (_node, stream) = node().await;
    let (_dir, path) = ready_path();
    let main = format!("lb_ready_file {} heartbeat=100ms;", path.display());
    let proxy = NginxLike::start(&main, &stream).await;
    says(&path, "0\n").await;
    proxy.signal(Signal::STOP);
    let age = || {
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        modified.elapsed().unwrap_or_default()
    };
    eventually("an old file", || age() > Duration::from_millis(500)).await;
    proxy.signal(Signal::CONT);
    eventually("a heartbeat", || age() < Duration::from_millis(100)).await;
}
