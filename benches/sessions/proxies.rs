//! The proxies, each a process that a tool runs.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lb_core::{Backend, Snapshot};
use lb_proxy::{Proxy as Server, Upstream};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::Outcome;
use super::tools::Tool;

/// A proxy whose sessions are counted.
pub(super) enum ProxyKind {
    /// lb-proxy in a process of this bench.
    Own,
    /// The bare loop of `load`.
    Bare,
    /// A binary that reads nginx's language, and the options that keep it in one process in the foreground.
    Nginx(PathBuf, &'static str),
    Haproxy(PathBuf),
}

/// A proxy that runs. It is killed when this is dropped.
pub(super) struct Proxy {
    pub(super) addr: SocketAddr,
    child: Child,
    dir: TempDir,
}

impl ProxyKind {
    pub(super) fn all() -> Vec<Self> {
        let set = |name| std::env::var_os(name).map(PathBuf::from);
        let nginx = set("LB_BENCH_NGINX").or_else(|| installed("nginx"));
        let haproxy = set("LB_BENCH_HAPROXY").or_else(|| installed("haproxy"));
        let like = set("LB_BENCH_NGINX_LIKE").map(|path| Self::Nginx(path, ""));
        let nginx = nginx.map(|path| Self::Nginx(path, "daemon off; master_process off;"));
        let haproxy = haproxy.map(Self::Haproxy);
        [Some(Self::Own), like, nginx, haproxy, Some(Self::Bare)]
            .into_iter()
            .flatten()
            .collect()
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Own => "lb-proxy".to_owned(),
            Self::Bare => "bare loop".to_owned(),
            Self::Nginx(path, _) | Self::Haproxy(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                name.display().to_string()
            }
        }
    }

    /// The command line of one that listens on `addr`.
    fn command(
        &self,
        addr: SocketAddr,
        backend: SocketAddr,
        dir: &TempDir,
    ) -> Outcome<Vec<OsString>> {
        let dir = dir.path().display();
        Ok(match self {
            Self::Own => {
                let [addr, backend] = [addr, backend].map(|addr| addr.to_string().into());
                let own = std::env::current_exe()?.into();
                vec![own, "--serve".into(), addr, backend]
            }
            Self::Bare => {
                let [addr, backend] = [addr, backend].map(|addr| addr.to_string().into());
                let load = env!("CARGO_BIN_EXE_lb_load").into();
                let (listen, to) = ("--listen".into(), "--to".into());
                vec![load, "relay".into(), listen, addr, to, backend]
            }
            Self::Haproxy(path) => {
                let conf = format!("{dir}/haproxy.cfg");
                let text = format!(
                    "global\n nbthread 1\n maxconn 1000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n\
                     listen proxy\n bind {addr}\n server backend {backend}\n"
                );
                fs::write(&conf, text)?;
                vec![path.into(), "-db".into(), "-f".into(), conf.into()]
            }
            Self::Nginx(path, options) => {
                let conf = format!("{dir}/nginx.conf");
                // Debian's has the module as a file.
                let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
                let module = match options.is_empty() || !module.exists() {
                    true => String::new(),
                    false => format!("load_module {};", module.display()),
                };
                let text = format!(
                    "{module} {options} worker_processes 1; pid {dir}/pid; error_log {dir}/error.log crit;\nevents {{}}\n\
                     stream {{ server {{ listen {addr}; proxy_pass {backend}; }} }}\n"
                );
                fs::write(&conf, text)?;
                vec![path.into(), "-c".into(), conf.into()]
            }
        })
    }
}

impl Proxy {
    /// Starts it, and waits until it listens.
    pub(super) fn start(kind: &ProxyKind, tool: &Tool, backend: SocketAddr) -> Outcome<Self> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let dir = tempfile::tempdir()?;
        let mut words = tool.words(&dir.path().join("counts"));
        words.extend(kind.command(addr, backend, &dir)?);
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let proxy = Self { addr, child, dir };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(addr).is_err() {
            if Instant::now() > deadline {
                return Err(format!("{} does not listen", kind.name()).into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(proxy)
    }

    /// Ends it, and returns what the tool has written.
    pub(super) fn end(mut self, tool: &Tool) -> Outcome<String> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        // nginx in one process loses a signal that arrives before it waits for events.
        while self.child.try_wait()?.is_none() {
            kill(pid, Signal::SIGTERM)?;
            for _ in 0..100 {
                if self.child.try_wait()?.is_some() {
                    break;
                }
                sleep(Duration::from_millis(10));
            }
        }
        // strace(1) writes after the end.
        for _ in 0..1000 {
            let text = fs::read_to_string(self.dir.path().join("counts")).unwrap_or_default();
            if tool.is_complete(&text) {
                return Ok(text);
            }
            sleep(Duration::from_millis(10));
        }
        Err("the tool has counted nothing".into())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It has ended if these fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian's are not on every user's path.
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    dirs.map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Serves until SIGTERM.
pub(super) fn serve(listen: SocketAddr, backend: SocketAddr) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let backends: Snapshot = [Backend::new(backend)].into_iter().collect();
        let upstream = Upstream::builder("backend").fixed(&backends)?;
        let server = Server::builder().listen(listen, &upstream).build()?;
        let server = server.bind().await?;
        let mut terminate = signal(SignalKind::terminate())?;
        server.run(async { _ = terminate.recv().await }).await;
        Ok(())
    })
}
