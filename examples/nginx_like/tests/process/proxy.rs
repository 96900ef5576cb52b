//! nginx_like as a child process of the test.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::sockets::{Reserved, eventually, within};

/// A running nginx_like; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct NginxLike {
    pub(crate) addr: SocketAddr,
    dir: TempDir,
    child: Child,
    log: Arc<Mutex<String>>,
    _reserved: Reserved,
}

impl NginxLike {
    /// Starts it with the stream block `stream`, where `LISTEN` stands for a free address, and waits until it listens.
    pub(crate) async fn start(main: &str, stream: &str) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
        Self::start_by(command, Reserved::any(), main, stream).await
    }

    /// Starts it by `command`, which gets the arguments appended.
    pub(crate) async fn start_by(
        mut command: Command,
        reserved: Reserved,
        main: &str,
        stream: &str,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let conf = write_conf(dir.path(), &conf_text(main, stream, reserved.addr));
        let mut child = command
            .arg("-c")
            .arg(conf)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::default();
        let lines = child.stderr.take().expect("a piped stderr");
        tokio::spawn(copy_lines(lines, Arc::clone(&log)));
        let started = Self {
            addr: reserved.addr,
            dir,
            child,
            log,
            _reserved: reserved,
        };
        started.logged("Listening").await;
        started
    }

    /// Replaces the configuration, as [`start`](Self::start) wrote it.
    pub(crate) fn configure(&self, main: &str, stream: &str) {
        write_conf(self.dir.path(), &conf_text(main, stream, self.addr));
    }

    /// Replaces the configuration, and waits until a reload has applied it.
    pub(crate) async fn reload(&self, main: &str, stream: &str) {
        let before = self.count("Configuration applied");
        self.configure(main, stream);
        self.signal(Signal::HUP);
        let is_applied = || self.count("Configuration applied") > before;
        eventually("the reload", is_applied).await;
    }

    /// Waits until the log has `text`.
    pub(crate) async fn logged(&self, text: &str) {
        let is_logged = || self.log.lock().unwrap().contains(text);
        eventually(&format!("\"{text}\" in the log"), is_logged).await;
    }

    /// The log until now.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// How many times the log has `text`.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.log.lock().unwrap().matches(text).count()
    }

    /// The directory of its configuration.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("a process that was not waited for")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).unwrap();
    }

    /// Kills the process, if it has not ended, and does not wait for it.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.start_kill();
    }

    /// Waits until new connections are refused.
    pub(crate) async fn refused(&self) {
        within("the refusal of connections", async {
            while TcpStream::connect(self.addr).await.is_ok() {}
        })
        .await;
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) {
        self.status().await;
    }

    /// Waits until the process has ended, and returns its status.
    pub(crate) async fn status(&mut self) -> ExitStatus {
        within("the exit", self.child.wait()).await.unwrap()
    }

    pub(crate) async fn exit(mut self) -> ExitStatus {
        self.status().await
    }
}

async fn copy_lines(from: impl tokio::io::AsyncRead + Unpin, to: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // Shown by the test harness when a test fails.
        eprintln!("{line}");
        let mut log = to.lock().unwrap();
        log.push_str(&line);
        log.push('\n');
    }
}

fn conf_text(main: &str, stream: &str, listen: SocketAddr) -> String {
    let stream = stream.replace("LISTEN", &listen.to_string());
    format!("error_log stderr info;\n{main}\nevents {{}}\nstream {{\n{stream}\n}}\n")
}

/// Runs `command` with `-t` for the configuration file `conf`. Returns what it prints on standard error, too.
pub(crate) async fn tested(mut command: Command, conf: &Path) -> (Output, String) {
    let output = command.arg("-t").arg("-c").arg(conf).output();
    let output = output.await.unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    (output, said)
}

pub(crate) fn write_conf(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("test.conf");
    fs::write(&path, text).unwrap();
    path
}
