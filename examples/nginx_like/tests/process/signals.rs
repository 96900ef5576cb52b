//! Signals: the end of the process, reloads, pid files and logs.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::Signal;

use crate::command_line::run;
use crate::proxy::NginxLike;
use crate::sockets::{Conversation, Reserved, ask, ask_times, eventually, within};

async fn node() -> (Reserved, String) {
    let node = Reserved::any();
    let addr = node.addr;
    drop(node.serve("node").await); // detached: it lives as long as the test's runtime
    let stream =
        format!("upstream u {{ server {addr}; }} server {{ listen LISTEN; proxy_pass u; }}");
    (node, stream)
}

#[tokio::test]
async fn sigterm_and_sigint_stop_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_node, stream) = node().await;
        let proxy = NginxLike::start("", &stream).await;
        let mut open = Conversation::open(proxy.addr).await.unwrap();
        assert_eq!(open.say("hello").await.unwrap(), "node");
        proxy.signal(signal);
        assert!(proxy.exit().await.success());
        open.say("hello?").await.expect_err("the connection is cut");
    }
}

/// The signals that a process has handlers for, by their numbers. Those above 31 are the C library's own.
fn handled_by(pid: u32) -> BTreeSet<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mut lines = status.lines();
    let caught = lines.find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    (1..=31)
        .filter(|number| caught >> (number - 1) & 1 == 1)
        .collect()
}

#[tokio::test]
async fn the_signals_of_the_documents_are_those_that_the_process_handles() {
    // Those of Rust's runtime, which reports an overflow of the stack.
    const OF_RUNTIME: [Signal; 2] = [Signal::BUS, Signal::SEGV];
    const NAMES: [(&str, Signal); 8] = [
        ("SIGCHLD", Signal::CHILD),
        ("SIGHUP", Signal::HUP),
        ("SIGINT", Signal::INT),
        ("SIGQUIT", Signal::QUIT),
        ("SIGTERM", Signal::TERM),
        ("SIGUSR1", Signal::USR1),
        ("SIGUSR2", Signal::USR2),
        ("SIGWINCH", Signal::WINCH),
    ];
    let (_node, stream) = node().await;
    let proxy = NginxLike::start("", &stream).await;
    let mut handled = handled_by(proxy.id());
    for signal in OF_RUNTIME {
        handled.remove(&signal.as_raw().cast_unsigned());
    }
    let name = |number: &u32| {
        let known = NAMES
            .iter()
            .find(|(_, signal)| signal.as_raw().cast_unsigned() == *number);
        known
            .unwrap_or_else(|| panic!("signal {number} has no name here"))
            .0
    };
    let handled: BTreeSet<&str> = handled.iter().map(name).collect();
    let named_in = |text: &str| -> BTreeSet<&str> {
        let names = NAMES.iter().map(|(name, _)| *name);
        names.filter(|name| text.contains(name)).collect()
    };
    let (output, _) = run(&["man"], proxy.dir());
    let page = String::from_utf8(output.stdout).unwrap();
    let section = page
        .split(".SH ")
        .find(|section| section.starts_with("SIGNALS"));
    let terms = section
        .unwrap()
        .lines()
        .filter(|line| line.starts_with(r"\fB"));
    assert_eq!(
        named_in(&terms.collect::<String>()),
        handled,
        "nginx_like(8)"
    );
    let operating = include_str!("../../docs/operating.md");
    let rows = operating.lines().filter(|line| line.starts_with("| SIG"));
    let signals = rows.map(|row| row.split('|').nth(1).unwrap());
    assert_eq!(
        named_in(&signals.collect::<String>()),
        handled,
        "operating.md"
    );
}

#[tokio::test]
async fn sigterm_ends_a_drain() {
    let (_node, stream) = node().await;
    let proxy = NginxLike::start("", &stream).await;
    let mut open = Conversation::open(proxy.addr).await.unwrap();
    assert_eq!(open.say("hello").await.unwrap(), "node");
    proxy.signal(Signal::QUIT);
    proxy.refused().await;
    assert_eq!(open.say("still there?").await.unwrap(), "node");
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
}

#[tokio::test]
async fn sighup_applies_the_difference_and_sessions_continue() {
    let (_node, stream) = node().await;
    let other = Reserved::any();
    drop(other.serve("other").await);
    let proxy = NginxLike::start("", &stream).await;
    let mut open = Conversation::open(proxy.addr).await.unwrap();
    assert_eq!(open.say("hello").await.unwrap(), "node");
    let second = Reserved::any();
    let changed = format!(
        "upstream u {{ server {}; }}
        server {{ listen LISTEN; listen {}; proxy_pass u; }}",
        other.addr, second.addr
    );
    proxy.configure("worker_processes 3;", &changed);
    proxy.signal(Signal::HUP);
    proxy.logged("Configuration applied").await;
    proxy.logged("\"worker_processes\" changed").await;
    within("the new server", async {
        while ask(proxy.addr).await.unwrap() != "other" {}
    })
    .await;
    assert_eq!(ask(second.addr).await.unwrap(), "other");
    assert_eq!(open.say("still there?").await.unwrap(), "node");
}

#[tokio::test]
async fn sighup_with_a_bad_file_changes_nothing_and_logs_the_reason() {
    let (_node, stream) = node().await;
    let proxy = NginxLike::start("", &stream).await;
    proxy.configure(
        "",
        "server { listen LISTEN; proxy_pass nowhere:1; }\nnonsense;",
    );
    proxy.signal(Signal::HUP);
    proxy.logged("nothing changed").await;
    let log = proxy.log();
    assert!(
        log.contains("\"nonsense\"") && log.contains("test.conf:6"),
        "{log}"
    );
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    // So does an address that is in use.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = (taken.local_addr().unwrap(), taken);
    proxy.configure(
        "",
        &format!("server {{ listen {}; proxy_pass 127.0.0.1:1; }}", taken.0),
    );
    proxy.signal(Signal::HUP);
    proxy.logged("Address already in use").await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
}

#[tokio::test]
async fn sigquit_waits_no_longer_than_the_shutdown_timeout() {
    let (_node, stream) = node().await;
    let proxy = NginxLike::start("worker_shutdown_timeout 100ms;", &stream).await;
    let mut open = Conversation::open(proxy.addr).await.unwrap();
    assert_eq!(open.say("hello").await.unwrap(), "node");
    proxy.signal(Signal::QUIT);
    assert!(proxy.exit().await.success());
    open.say("hello?").await.expect_err("the connection is cut");
}

#[tokio::test]
async fn the_pid_file_exists_while_the_process_runs() {
    let (_node, stream) = node().await;
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("nginx.pid");
    let proxy = NginxLike::start(&format!("pid {};", pid.display()), &stream).await;
    assert_eq!(
        fs::read_to_string(&pid).unwrap(),
        format!("{}\n", proxy.id())
    );
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    assert!(!pid.exists());
}

#[tokio::test]
async fn the_pid_file_of_a_successor_is_kept() {
    let (_node, stream) = node().await;
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("nginx.pid");
    let main = format!("pid {};", pid.display());
    let first = NginxLike::start(&main, &stream).await;
    let mut open = Conversation::open(first.addr).await.unwrap();
    assert_eq!(open.say("hello").await.unwrap(), "node");
    first.signal(Signal::QUIT);
    first.refused().await;
    let second = NginxLike::start(&main, &stream).await;
    let id = format!("{}\n", second.id());
    drop(open);
    assert!(first.exit().await.success());
    assert_eq!(fs::read_to_string(&pid).unwrap(), id);
    second.signal(Signal::TERM);
    assert!(second.exit().await.success());
    assert!(!pid.exists());
}

#[tokio::test]
async fn the_pid_file_moves_with_the_configuration() {
    let (_node, stream) = node().await;
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = ["old.pid", "new.pid"].map(|name| dir.path().join(name));
    let line = |path: &std::path::Path| format!("pid {};", path.display());
    let proxy = NginxLike::start(&line(&old), &stream).await;
    let id = format!("{}\n", proxy.id());
    proxy.configure(&line(&dir.path().join("no/such/dir.pid")), &stream);
    proxy.signal(Signal::HUP);
    proxy.logged("nothing changed").await;
    assert_eq!(fs::read_to_string(&old).unwrap(), id);
    proxy.configure(&line(&new), &stream);
    proxy.signal(Signal::HUP);
    eventually("the removal of the old one", || !old.exists()).await;
    assert_eq!(fs::read_to_string(&new).unwrap(), id);
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    assert!(!new.exists());
}

#[tokio::test]
async fn a_reload_that_fails_keeps_the_pid_file_of_another_process() {
    let (_node, stream) = node().await;
    let dir = tempfile::tempdir().unwrap();
    let [theirs, ours] = ["theirs.pid", "ours.pid"].map(|name| dir.path().join(name));
    let line = |path: &std::path::Path| format!("pid {};", path.display());
    fs::write(&theirs, "1\n").unwrap();
    let proxy = NginxLike::start(&line(&ours), &stream).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let wrong = format!("server {{ listen {listen}; proxy_pass 127.0.0.1:1; }}");
    proxy.configure(&line(&theirs), &wrong);
    proxy.signal(Signal::HUP);
    proxy.logged("nothing changed").await;
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "1\n");
    let id = format!("{}\n", proxy.id());
    assert_eq!(fs::read_to_string(&ours).unwrap(), id);
}

#[tokio::test]
async fn messages_go_to_the_log_files() {
    let (_node, stream) = node().await;
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("error.log");
    let main = format!("error_log {} info;", log.display());
    let proxy = NginxLike::start(&main, &stream).await;
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    let text = fs::read_to_string(&log).unwrap();
    assert!(
        text.contains("Listening") && text.contains("SIGTERM"),
        "{text}"
    );
}

#[tokio::test]
async fn sigusr1_reopens_the_logs() {
    let (_node, stream) = node().await;
    let dir = tempfile::tempdir().unwrap();
    let (log, old) = (dir.path().join("error.log"), dir.path().join("old.log"));
    let main = format!("error_log {} info;", log.display());
    let proxy = NginxLike::start(&main, &stream).await;
    fs::rename(&log, &old).unwrap();
    proxy.signal(Signal::USR1);
    proxy.logged("Log reopened").await;
    proxy.signal(Signal::HUP);
    proxy.logged("Configuration applied").await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    let read = || fs::read_to_string(&log).unwrap();
    eventually("the message in the file", || read().contains("applied")).await;
    assert!(!read().contains("Listening"), "{}", read());
    let old_text = fs::read_to_string(&old).unwrap();
    assert!(old_text.contains("Listening"), "{old_text}");
}

#[tokio::test]
async fn a_server_listed_twice_gets_two_turns() {
    let (a, b) = (Reserved::any(), Reserved::any());
    let _nodes = [a.serve("a").await, b.serve("b").await];
    let (twice, once) = (a.addr, b.addr);
    let stream = format!(
        "upstream u {{ server {twice}; server {twice}; server {once}; }}
        server {{ listen LISTEN; proxy_pass u; }}"
    );
    let proxy = NginxLike::start("", &stream).await;
    let answers = ask_times(proxy.addr, 30).await;
    assert_eq!(answers.iter().filter(|answer| *answer == "a").count(), 20);
}
