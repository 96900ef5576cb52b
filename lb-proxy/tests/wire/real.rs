//! Real servers as child processes of a test.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The time-out of every step. Reached only if something is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The program that an environment variable names. `None`, with a notice, if it is not set.
fn program(variable: &str) -> Option<OsString> {
    let program = std::env::var_os(variable);
    if program.is_none() {
        eprintln!("skipped: {variable} does not name a program to compare with");
    }
    program
}

/// A running server. Dropping it ends the server.
pub(crate) struct Server {
    child: Child,
    dir: TempDir,
}

impl Server {
    /// Runs an nginx 1.22 with a dynamic stream module. The text becomes the contents of its `stream` block; `SOCKET`
    /// stands for the path of a socket, to which a number can be appended. `inherited` are sockets that the
    /// configuration listens on.
    pub(crate) fn nginx(stream: &str, inherited: &[TcpListener]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut command = nginx(dir.path(), stream)?;
        for listener in inherited {
            fcntl_setfd(listener, FdFlags::empty()).unwrap();
        }
        if !inherited.is_empty() {
            let fds = inherited
                .iter()
                .map(|listener| format!("{};", listener.as_raw_fd()));
            command.env("NGINX", fds.collect::<String>());
        }
        Some(Self::start(command, dir))
    }

    /// Runs an HAProxy in the same way. The text follows the section `defaults`.
    pub(crate) fn haproxy(text: &str) -> Option<Self> {
        let haproxy = program("LB_TEST_HAPROXY")?;
        let dir = tempfile::tempdir().unwrap();
        let timeouts = "timeout connect 20s\n timeout client 20s\n timeout server 20s";
        let config = write_config(
            dir.path(),
            &format!("defaults\n mode tcp\n {timeouts}\n{text}\n"),
        );
        let mut command = Command::new(haproxy);
        command.arg("-f").arg(config);
        Some(Self::start(command, dir))
    }

    fn start(mut command: Command, dir: TempDir) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("the server can be started");
        Self { child, dir }
    }

    /// Connects to a socket of the configuration, as soon as the server listens there.
    pub(crate) fn connect(&mut self, number: impl std::fmt::Display) -> UnixStream {
        let path: PathBuf = self.dir.path().join(format!("socket{number}"));
        let started = Instant::now();
        loop {
            if let Ok(stream) = UnixStream::connect(&path) {
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                return stream;
            }
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "the server ended");
            assert!(started.elapsed() < DEADLINE, "the server does not listen");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's master ends its worker. The kill fails if the server has ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.child.wait().unwrap();
    }
}

/// The output of nginx for a configuration. `None` without an nginx.
pub(crate) fn nginx_error(stream: &str) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let output = nginx(dir.path(), stream)?.arg("-t").output().unwrap();
    Some(String::from_utf8(output.stderr).unwrap())
}

/// An nginx with a configuration in a folder of its own.
fn nginx(dir: &Path, stream: &str) -> Option<Command> {
    let nginx = program("LB_TEST_NGINX")?;
    let module = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;";
    let main = "daemon off; pid nginx.pid; error_log stderr; events { }";
    let config = write_config(dir, &format!("{module} {main} stream {{\n{stream}\n}}\n"));
    let mut command = Command::new(nginx);
    // Otherwise nginx would open the system's log at its start.
    command
        .args(["-e", "stderr", "-p"])
        .arg(dir)
        .arg("-c")
        .arg(config);
    Some(command)
}

fn write_config(dir: &Path, text: &str) -> PathBuf {
    let socket = dir.join("socket");
    let path = dir.join("server.conf");
    let text = text.replace("SOCKET", socket.to_str().unwrap());
    fs::write(&path, text).unwrap();
    path
}

/// A listening socket and its address.
pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}
