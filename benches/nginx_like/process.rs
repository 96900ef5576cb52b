//! nginx_like as a child process.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use tempfile::TempDir;

use super::Outcome;

/// nginx_like as a child process. It is killed when this is dropped.
pub(super) struct Proxy {
    pub(super) addr: SocketAddr,
    child: Child,
    dir: TempDir,
}

impl Proxy {
    /// Starts it with a stream block, in which `LISTEN` is its address and `DIR` a directory of its own.
    pub(super) fn start(stream: &str) -> Outcome<Self> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let dir = tempfile::tempdir()?;
        let conf = write_conf(dir.path(), &placed(stream, addr, dir.path()))?;
        let mut command = Command::new(binary());
        command
            .arg("-c")
            .arg(conf)
            .stderr(Stdio::null())
            .stdout(Stdio::null());
        let child = command.spawn().map_err(|error| {
            format!(
                "{}: {error}: build it with `cargo build --release -p nginx_like`",
                binary().display()
            )
        })?;
        let proxy = Self { addr, child, dir };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(addr).is_err() {
            if Instant::now() > deadline {
                return Err(format!("nginx_like does not listen: {}", proxy.log()).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(proxy)
    }

    pub(super) fn configure(&self, stream: &str) -> Outcome {
        write_conf(self.dir.path(), &placed(stream, self.addr, self.dir.path())).map(drop)
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// The processor time of all its threads, also of those that have ended.
    pub(super) fn processor_time(&self) -> Outcome<Duration> {
        Ok(clock_getcpuclockid(self.pid())?.now()?.into())
    }

    /// Its error log.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It has ended if these fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn placed(stream: &str, addr: SocketAddr, dir: &Path) -> String {
    let stream = stream.replace("LISTEN", &addr.to_string());
    let text = "worker_processes 1; error_log DIR/error.log notice; events { worker_connections 8000; }\nstream {";
    format!("{text}\n{stream}\n}}\n").replace("DIR", &dir.display().to_string())
}

pub(super) fn write_conf(dir: &Path, text: &str) -> Outcome<PathBuf> {
    let path = dir.join("nginx_like.conf");
    fs::write(&path, text)?;
    Ok(path)
}

pub(super) fn binary() -> PathBuf {
    let set = std::env::var_os("LB_BENCH_NGINX_LIKE").map(PathBuf::from);
    set.unwrap_or_else(|| {
        // The bench is `target/release/deps/nginx_like-…`.
        let own = std::env::current_exe().unwrap_or_default();
        own.ancestors()
            .nth(2)
            .unwrap_or_else(|| Path::new(""))
            .join("nginx_like")
    })
}
