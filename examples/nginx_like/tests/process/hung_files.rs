//! Files that hang when they are opened, as on a mount that does not answer: traffic and signals continue.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::proxy::NginxLike;
use crate::sockets::{Conversation, Reserved, ask, eventually, within};

/// Opening it blocks until it is opened from the other side.
pub(crate) fn make_fifo(path: &Path) {
    let _ = fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::from(0o644), 0).unwrap();
}

async fn node() -> (Reserved, String) {
    let node = Reserved::any();
    // Detached: it runs as long as the test's runtime.
    drop(node.serve("node").await);
    let stream = format!("server {{ listen LISTEN; proxy_pass {}; }}", node.addr);
    (node, stream)
}

/// What is logged before the configuration is opened.
const READING: &str = "SIGHUP received: reconfiguring";

/// Opens a FIFO from the other side and writes `text`.
async fn answer(fifo: &Path, text: &[u8]) {
    let (fifo, text) = (fifo.to_owned(), text.to_owned());
    let writing = tokio::task::spawn_blocking(move || {
        let mut fifo = OpenOptions::new().write(true).open(fifo).unwrap();
        fifo.write_all(&text).unwrap();
    });
    within("the reader", writing).await.unwrap();
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_stops_neither_sessions_nor_sigterm() {
    for workers in ["worker_processes 1;", "worker_processes 2;"] {
        let (_node, stream) = node().await;
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("nginx.pid");
        let main = format!("{workers} pid {};", pid.display());
        let proxy = NginxLike::start(&main, &stream).await;
        let mut open = Conversation::open(proxy.addr).await.unwrap();
        assert_eq!(open.say("hello").await.unwrap(), "node");
        make_fifo(&proxy.dir().join("test.conf"));
        proxy.signal(Signal::HUP);
        proxy.logged(READING).await;
        proxy.signal(Signal::USR1);
        assert_eq!(open.say("still there?").await.unwrap(), "node");
        assert_eq!(ask(proxy.addr).await.unwrap(), "node");
        proxy.signal(Signal::TERM);
        assert!(proxy.exit().await.success());
        assert!(!pid.exists());
    }
}

#[tokio::test]
async fn signals_that_come_while_a_reload_hangs_are_one() {
    let (_node, stream) = node().await;
    let proxy = NginxLike::start("", &stream).await;
    let conf = proxy.dir().join("test.conf");
    let text = fs::read(&conf).unwrap();
    make_fifo(&conf);
    proxy.signal(Signal::HUP);
    proxy.logged(READING).await;
    for _ in 0..5 {
        proxy.signal(Signal::HUP);
        // One thread handles signals and clients, so it has handled the signal before a client is answered.
        assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    }
    for reloads in 1..=2 {
        assert_eq!(proxy.count("Configuration applied"), reloads - 1);
        answer(&conf, &text).await;
        eventually("the reload", || {
            proxy.count("Configuration applied") == reloads
        })
        .await;
    }
    // The five signals caused one reload: the next reload is that of the next signal.
    fs::remove_file(&conf).unwrap();
    fs::write(&conf, &text).unwrap();
    proxy.signal(Signal::HUP);
    eventually("the third reload", || {
        proxy.count("Configuration applied") == 3
    })
    .await;
    proxy.signal(Signal::TERM);
    proxy.logged("Drained").await;
    assert_eq!(proxy.count(READING), 3);
    assert!(proxy.exit().await.success());
}

#[tokio::test]
async fn a_log_that_cannot_be_reopened_stops_neither_sessions_nor_sigquit() {
    let (_node, stream) = node().await;
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("error.log");
    let proxy = NginxLike::start(&format!("error_log {} info;", log.display()), &stream).await;
    make_fifo(&log);
    proxy.signal(Signal::USR1);
    proxy.logged("Log not reopened, the old file is kept").await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    fs::remove_file(&log).unwrap();
    proxy.signal(Signal::USR1);
    proxy.logged("Log reopened").await;
    assert!(log.exists());
    make_fifo(&log);
    proxy.signal(Signal::USR1);
    proxy.signal(Signal::QUIT);
    assert!(proxy.exit().await.success());
}

/// A configuration hangs, then it can be read again.
pub(crate) async fn a_reload_that_hangs_ends_alone(main: &str) {
    let (_node, stream) = node().await;
    let proxy = NginxLike::start(main, &stream).await;
    let conf = proxy.dir().join("test.conf");
    let text = fs::read(&conf).unwrap();
    make_fifo(&conf);
    proxy.signal(Signal::HUP);
    proxy.logged("Hung file thread abandoned").await;
    proxy.logged("nothing changed").await;
    fs::remove_file(&conf).unwrap();
    fs::write(&conf, &text).unwrap();
    proxy.signal(Signal::HUP);
    proxy.logged("Configuration applied").await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
}

#[tokio::test]
async fn a_reload_that_hangs_does_not_end_reloads() {
    a_reload_that_hangs_ends_alone("").await;
}
