//! Logs that nothing reads, and the last messages of a process.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::proxy::{NginxLike, write_conf};
use crate::sockets::{Conversation, Reserved, ask, listens, within};

/// So many that their messages at level `debug` fill a pipe several times.
const SESSIONS: usize = 600;

/// The message at the end of a session.
const ENDED: &str = "Session ended";

/// A process that is killed when this is dropped.
struct Unread(Child);

impl Unread {
    async fn start(dir: &Path, addr: SocketAddr, node: &Reserved) -> Self {
        let text = format!(
            "error_log stderr debug; events {{}}
            stream {{ server {{ listen {addr}; proxy_pass {}; }} }}",
            node.addr
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
        command.arg("-c").arg(write_conf(dir, &text));
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        listens("nginx_like", addr).await;
        Self(child)
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_standard_error_stream_without_a_reader_stops_neither_sessions_nor_the_end() {
    let (node, front) = (Reserved::any(), Reserved::any());
    drop(node.serve("node").await);
    let dir = tempfile::tempdir().unwrap();
    let mut proxy = Unread::start(dir.path(), front.addr, &node).await;
    let stderr = proxy.0.stderr.take().unwrap();
    for _ in 0..SESSIONS {
        assert_eq!(ask(front.addr).await.unwrap(), "node");
    }
    // When the stream is read, no message is missing.
    let lines = |stderr: ChildStderr| {
        let mut lines = BufReader::new(stderr);
        let (mut line, mut ended) = (String::new(), 0);
        while ended < SESSIONS {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "{ended} lines");
            assert!(!line.contains("dropped"), "{line}");
            ended += usize::from(line.contains(ENDED));
        }
        lines
    };
    let reading = tokio::task::spawn_blocking(move || lines(stderr));
    let mut unread = within("the messages", reading).await.unwrap();
    for _ in 0..SESSIONS {
        assert_eq!(ask(front.addr).await.unwrap(), "node");
    }
    let pid = i32::try_from(proxy.0.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.unwrap(), Signal::TERM).unwrap();
    let exit = tokio::task::spawn_blocking(move || proxy.0.wait().unwrap());
    assert!(within("the exit", exit).await.unwrap().success());
    unread.read_to_end(&mut Vec::new()).unwrap();
}

#[tokio::test]
async fn the_end_of_a_process_is_in_its_log_with_numbers_that_agree() {
    for workers in ["worker_processes 1;", "worker_processes 2;"] {
        let node = Reserved::any();
        drop(node.serve("node").await);
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("error.log");
        let main = format!("{workers} error_log {} info;", log.display());
        let stream = format!("server {{ listen LISTEN; proxy_pass {}; }}", node.addr);
        let proxy = NginxLike::start(&main, &stream).await;
        let mut open = Vec::new();
        for _ in 0..2 {
            let mut conversation = Conversation::open(proxy.addr).await.unwrap();
            assert_eq!(conversation.say("hello").await.unwrap(), "node");
            open.push(conversation);
        }
        proxy.signal(Signal::TERM);
        assert!(proxy.exit().await.success());
        let text = fs::read_to_string(&log).unwrap();
        assert!(text.contains("Draining sessions=2"), "{text}");
        assert!(text.contains("Drained report.aborted=2"), "{text}");
    }
}

#[test]
fn the_error_of_a_start_comes_after_its_messages() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("error.log");
    let text = format!(
        "error_log {} debug; error_log stderr debug; worker_rlimit_nofile 4611686018427387904;
        stream {{ server {{ listen {addr}; proxy_pass 127.0.0.1:1; }} }}",
        log.display()
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    let command = command.arg("-c").arg(write_conf(dir.path(), &text));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let said = "Limit of open files not changed";
    let position = |text: &str| stderr.find(text).unwrap_or_else(|| panic!("{stderr}"));
    assert!(position(said) < position("[emerg] bind()"), "{stderr}");
    assert!(fs::read_to_string(&log).unwrap().contains(said));
}
