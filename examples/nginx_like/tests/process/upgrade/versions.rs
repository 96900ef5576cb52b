//! Old and new binaries of different versions: each side against another version of the protocol, and two builds.

use std::collections::VecDeque;
use std::fs;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;

use super::clients::Load;
use super::site::{Conf, PROGRAM, UpgradeSite, gone};
use crate::proxy::write_conf;
use crate::sockets::{Conversation, Reserved, ask, eventually, within};

/// Plays the process of an old binary.
struct OldBinary {
    new: Child,
    channel: UnixStream,
    socket: TcpListener,
    dir: TempDir,
}

impl OldBinary {
    /// Starts the new binary.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Reserved::any();
        drop(node.serve("node").await);
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let text = format!(
            "error_log stderr info; pid {}/pid;\nevents {{}}\nstream {{ server {{ listen {}; proxy_pass {}; }} }}",
            dir.path().display(),
            socket.local_addr().unwrap(),
            node.addr
        );
        let conf = write_conf(dir.path(), &text);
        let (channel, theirs) = UnixStream::pair().unwrap();
        let new = Command::new(PROGRAM)
            .args(["--upgrade", "-c"])
            .arg(conf)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            new,
            channel,
            socket,
            dir,
        }
    }

    /// Sends a frame: a tag, the length of the body, the body.
    fn send(&self, tag: u8, body: &[u8], file: Option<BorrowedFd<'_>>) {
        let header = [&[tag], &(body.len() as u64).to_le_bytes()[..]].concat();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = file.map(|file| [file]);
        if let Some(files) = &files {
            assert!(control.push(SendAncillaryMessage::ScmRights(files)));
        }
        let header = [IoSlice::new(&header)];
        let sent = sendmsg(&self.channel, &header, &mut control, SendFlags::empty());
        assert_eq!(sent, Ok(9));
        (&self.channel).write_all(body).unwrap();
    }

    /// The first frame of the versions `protocol`, `needed` and `version`.
    fn hello(&self, protocol: u32, needed: u32, version: &str) {
        let numbers = [protocol.to_le_bytes(), needed.to_le_bytes()].concat();
        self.send(b'v', &[&numbers, version.as_bytes()].concat(), None);
    }

    /// Sends the socket, and the end.
    fn hand_over(&self) {
        self.send(b's', b"o", Some(self.socket.as_fd()));
        self.send(b'e', b"", None);
    }

    /// Waits until the new process accepts, and lets it end. Returns its log.
    async fn assert_taken_over(mut self) -> String {
        let mut channel = self.channel.try_clone().unwrap();
        let ready = spawn_blocking(move || {
            let mut byte = [0];
            channel.read_exact(&mut byte).unwrap();
            channel.write_all(b"?C").unwrap();
            byte
        });
        assert_eq!(within("the new process", ready).await.unwrap(), *b"R");
        let pid = self.dir.path().join("pid");
        let own = format!("{}\n", self.new.id().unwrap());
        let is_written = || fs::read_to_string(&pid).is_ok_and(|text| text == own);
        eventually("the pid file", is_written).await;
        ask(self.socket.local_addr().unwrap()).await.unwrap();
        let id = i32::try_from(self.new.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        self.log(true).await
    }

    /// The log of the new process, which ends with success or without.
    async fn log(&mut self, success: bool) -> String {
        let mut log = String::new();
        let mut stderr = self.new.stderr.take().unwrap();
        within("the log", stderr.read_to_string(&mut log))
            .await
            .unwrap();
        let status = self.new.wait().await.unwrap();
        assert_eq!(status.success(), success, "{log}");
        log
    }
}

#[tokio::test]
async fn an_old_binary_that_says_no_version_is_understood() {
    let old = OldBinary::start().await;
    old.hand_over();
    let log = old.assert_taken_over().await;
    assert!(
        log.contains("sockets of the old binary version=unknown"),
        "{log}"
    );
}

#[tokio::test]
async fn messages_of_a_later_version_that_may_be_ignored_are() {
    let old = OldBinary::start().await;
    old.hello(7, 1, "9.9.9 (\u{1b}later)");
    old.send(b'Z', b"counters", None);
    old.send(b'Y', b"", Some(old.socket.as_fd()));
    old.hand_over();
    let log = old.assert_taken_over().await;
    assert!(log.contains(r"version=9.9.9 (\u{1b}later)"), "{log}");
}

#[tokio::test]
async fn messages_of_a_later_version_that_must_not_be_ignored_are_refused() {
    let mut old = OldBinary::start().await;
    old.hello(7, 2, "9.9.9");
    old.hand_over();
    let log = old.log(false).await;
    let reason = "the old binary, nginx_like 9.9.9, hands over by version 2 of the protocol, and this one knows version 1";
    assert!(log.contains(reason), "{log}");
    assert!(!old.dir.path().join("pid").exists());

    let mut old = OldBinary::start().await;
    old.send(b'v', b"short", None);
    old.hand_over();
    let log = old.log(false).await;
    assert!(log.contains("first message that is cut off"), "{log}");
}

/// The program of another build, where there is one: `.ci/upgrade` makes it.
fn other_build() -> Option<PathBuf> {
    let path = std::env::var_os("LB_TEST_OTHER_NGINX_LIKE").map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: LB_TEST_OTHER_NGINX_LIKE names no other build of nginx_like");
    }
    path
}

/// The file that the process executes.
fn program_of(pid: Pid) -> PathBuf {
    fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero())).unwrap()
}

#[tokio::test]
async fn two_builds_replace_each_other_under_load() {
    let Some(other) = other_build() else {
        return;
    };
    let [other, this] = [&*other, Path::new(PROGRAM)].map(|path| fs::canonicalize(path).unwrap());
    let conf = Conf {
        main: "worker_processes 2;",
        stream: "server { listen unix:DIR/front; proxy_pass NODE; }",
    };
    let dir = tempfile::tempdir().unwrap();
    let site = UpgradeSite::start_program(&other, dir, conf, |_| {}).await;
    let addr = site.old.addr;
    assert_eq!(program_of(site.pid().unwrap()), other);
    let load = Load::default().tcp(addr);
    let mut sessions = VecDeque::new();
    for number in 0..6 {
        let mut session = Conversation::open(addr).await.unwrap();
        session.say("opened").await.unwrap();
        sessions.push_back(session);
        let next = if number % 2 == 0 { &this } else { &other };
        site.use_program(next);
        let old = site.pid().unwrap();
        let new = site.upgrade().await;
        assert_eq!(program_of(new), *next);
        kill_process(old, Signal::QUIT).unwrap();
        let leaves = || site.old.count("Process of the old binary leaves") > number;
        eventually("the old process to leave", leaves).await;
        for session in &mut sessions {
            session.say("still open").await.unwrap();
        }
        if sessions.len() > 2 {
            sessions.pop_front();
        }
    }
    assert!(load.end().await > 0);
    drop(sessions);
    let last = site.pid().unwrap();
    kill_process(last, Signal::QUIT).unwrap();
    gone(last).await;
    assert!(!site.path("front").exists());
}
