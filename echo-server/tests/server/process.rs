//! The binary: signals, exit codes, messages.

use std::net::SocketAddr;
use std::process::Stdio;

use crate::common::{ask, exchange, within};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, Command};

struct Server {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    addr: SocketAddr,
}

impl Server {
    /// Starts the binary on a port that the kernel chooses and waits until it listens.
    async fn start(args: &[&str]) -> Self {
        let mut child = command(&["--bind", "127.0.0.1", "0"])
            .args(args)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = within(log.next_line()).await.unwrap().unwrap();
        let addr = line
            .strip_prefix("echo-server: listening on ")
            .and_then(|rest| rest.split(' ').next())
            .unwrap_or_else(|| panic!("unexpected line: {line}"));
        let addr = addr.parse().unwrap();
        Self { child, log, addr }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap()
    }

    async fn ends_on(mut self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
        let status = within(self.child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo-server"));
    command.args(args).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The exit code and stderr of a run that ends by itself.
async fn fails(args: &[&str]) -> (Option<i32>, String) {
    let output = within(command(args).output()).await.unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[tokio::test]
async fn sigterm_and_sigint_shut_it_down_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        Server::start(&[]).await.ends_on(signal).await;
    }
}

#[tokio::test]
async fn open_connections_are_closed_on_sigterm() {
    let server = Server::start(&[]).await;
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    ask(&mut idle, "hello\n").await;
    server.ends_on(Signal::TERM).await;
    assert_eq!(within(idle.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn the_name_is_the_machines_unless_given() {
    let nodename = rustix::system::uname()
        .nodename()
        .to_str()
        .unwrap()
        .to_owned();
    let server = Server::start(&[]).await;
    let answer = exchange(server.addr, b"hello\n").await;
    assert_eq!(
        String::from_utf8(answer).unwrap(),
        format!("{nodename}: hello\n")
    );

    let server = Server::start(&["--hostname", "node-7"]).await;
    assert_eq!(exchange(server.addr, b"hello\n").await, b"node-7: hello\n");
}

#[tokio::test]
async fn a_taken_port_ends_it_with_advice() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = holder.local_addr().unwrap();
    let (code, stderr) = fails(&["--bind", "127.0.0.1", &addr.port().to_string()]).await;
    assert_eq!(code, Some(1), "{stderr}");
    let start = format!("echo-server: cannot listen on {addr}: ");
    assert!(stderr.starts_with(&start), "{stderr}");
    assert!(stderr.contains("is taken"), "{stderr}");
}

#[tokio::test]
async fn bad_arguments_are_refused() {
    for (args, message) in [
        (["--hostname", "a\nb"], "control character"),
        (["--hostname", ""], "hostname is empty"),
        (["--bind", "localhost"], "invalid IP address"),
        (["--", "65536"], "65536 is not in 0..=65535"),
    ] {
        let (code, stderr) = fails(&args).await;
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
    }
}

#[tokio::test]
async fn it_survives_a_lack_of_descriptors() {
    let mut server = Server::start(&["--hostname", "n"]).await;
    let mut first = TcpStream::connect(server.addr).await.unwrap();
    ask(&mut first, "hello\n").await;
    let limit = Rlimit {
        current: Some(0),
        ..getrlimit(Resource::Nofile)
    };
    let old = prlimit(Some(server.pid()), Resource::Nofile, limit).unwrap();
    let mut second = TcpStream::connect(server.addr).await.unwrap();
    for pause in ["10ms", "20ms", "40ms", "80ms"] {
        let line = within(server.log.next_line()).await.unwrap().unwrap();
        let start = format!("echo-server: cannot accept, next try in {pause}: ");
        assert!(line.starts_with(&start), "{line}");
    }
    assert_eq!(ask(&mut first, "still here\n").await, "n: still here\n");
    prlimit(Some(server.pid()), Resource::Nofile, old).unwrap();
    assert_eq!(ask(&mut second, "at last\n").await, "n: at last\n");
    server.ends_on(Signal::TERM).await;
}

#[tokio::test]
async fn a_long_line_takes_no_memory() {
    const LEN: usize = 64 << 20;
    let server = Server::start(&["--hostname", "n"]).await;
    exchange(server.addr, b"warm up\n").await;
    let before = peak_memory(server.pid());
    let answer = exchange(server.addr, &vec![b'x'; LEN]).await;
    assert_eq!(answer.len(), b"n: \n".len() + LEN);
    let grown = peak_memory(server.pid()) - before;
    assert!(grown < 4 << 20, "{grown} bytes for a line of {LEN}");
}

/// The peak resident memory of the process, in bytes.
fn peak_memory(pid: Pid) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    peak.trim()
        .trim_end_matches(" kB")
        .parse::<usize>()
        .unwrap()
        * 1024
}
