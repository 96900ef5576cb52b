//! nginx_like on a machine, with the file that says whether it is ready.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use test_support::namespace::Namespace;

use crate::process::{Process, eventually};

/// The port of the balancers and of the backends.
pub(crate) const PORT: u16 = 446;

/// How long sessions outlast an address that has moved away.
pub(crate) const ORPHAN_TIMEOUT: Duration = Duration::from_secs(1);

/// What a service manager does: it starts the program, and says that it is not ready when it has ended.
const SERVICE: &str = r#"ready=$1; shift; "$@"; echo -254 >"$ready""#;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nginx_like");

/// What a configuration has besides its servers, and what runs the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BalancerOptions<'a> {
    /// Parameters of `lb_ready_file`.
    pub(crate) ready_file: &'a str,
    /// Parameters of each `server` in the upstream.
    pub(crate) server: &'a str,
    /// What a shutdown waits for.
    pub(crate) withdrawal: &'a str,
    /// Whether `nginx_like supervise` runs it, which follows upgrades and looks at the heartbeat.
    pub(crate) supervised: bool,
}

impl BalancerOptions<'_> {
    pub(crate) const DEFAULT: Self = Self {
        ready_file: "",
        server: "",
        // More than a busy machine needs for an address or a route to move.
        withdrawal: "lb_withdraw_delay 1s;",
        supervised: false,
    };
}

/// A running nginx_like. `Drop` kills it.
#[derive(Debug)]
pub(crate) struct Balancer {
    service: Process,
    dir: PathBuf,
}

impl Balancer {
    /// Starts it with `backends`, and waits until it is ready. `dir` gets its files.
    pub(crate) fn start(
        machine: &Namespace,
        dir: &Path,
        backends: &[String],
        options: BalancerOptions<'_>,
    ) -> Self {
        let dir = dir.to_owned();
        fs::create_dir_all(&dir).unwrap();
        let conf = dir.join("nginx.conf");
        fs::write(&conf, configuration(&dir, backends, options)).unwrap();
        let mut command = match options.supervised {
            true => {
                let mut command = machine.command(PROGRAM);
                command.args(["supervise", "--"]);
                command
            }
            false => {
                let mut command = machine.command("sh");
                command.args(["-c", SERVICE, "service"]);
                command.arg(ready_file(&dir)).arg(PROGRAM);
                command
            }
        };
        command.arg("-c").arg(conf);
        let log = dir.join("log");
        fs::write(&log, "").unwrap();
        let service = Process::start(&mut command, &log);
        let balancer = Self { service, dir };
        let is_ready =
            || fs::read_to_string(ready_file(&balancer.dir)).is_ok_and(|text| text == "0\n");
        eventually("readiness", is_ready);
        balancer
    }

    /// Waits until the log has `text`.
    pub(crate) fn logged(&self, text: &str) {
        let log = self.dir.join("log");
        let is_logged = || fs::read_to_string(&log).is_ok_and(|log| log.contains(text));
        eventually(text, is_logged);
    }

    /// Sends `signal` to nginx_like.
    pub(crate) fn signal(&self, signal: Signal) {
        let ids = self.service.ids();
        let id = ids.get(1).expect("nginx_like runs");
        crate::process::send(*id, signal);
    }

    /// Lets it shut down gracefully, until it has stopped to accept connections.
    pub(crate) fn shut_down(&self) {
        self.signal(Signal::QUIT);
        self.logged("Draining");
    }

    /// Replaces the process by a new one of the same program, as an operator does.
    pub(crate) fn upgrade(&self) {
        let mut command = Command::new(PROGRAM);
        let command = command
            .args(["upgrade", "-c"])
            .arg(self.dir.join("nginx.conf"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        self.logged("Process of the old binary leaves");
    }

    /// Sends `signal` to nginx_like and what started it, as if the machine had failed.
    pub(crate) fn signal_all(&self, signal: Signal) {
        self.service.signal_all(signal);
    }
}

/// The file that a balancer with the directory `dir` writes.
pub(crate) fn ready_file(dir: &Path) -> PathBuf {
    dir.join("ready")
}

fn configuration(dir: &Path, backends: &[String], options: BalancerOptions<'_>) -> String {
    let servers = backends
        .iter()
        .map(|backend| format!("server {backend}:{PORT} {};\n", options.server));
    let servers = servers.collect::<String>();
    format!(
        "error_log stderr info;\npid {pid};\nlb_ready_file {ready} {parameters};\n\
         {withdrawal}\nworker_shutdown_timeout 10s;\nevents {{ worker_connections 4096; }}\nstream {{\n\
         lb_orphan_timeout {orphan_timeout}ms;\n\
         upstream backends {{\n{servers}}}\n\
         server {{ listen {PORT}; proxy_pass backends; proxy_connect_timeout 1s; }}\n}}\n",
        pid = dir.join("pid").display(),
        ready = ready_file(dir).display(),
        parameters = options.ready_file,
        withdrawal = options.withdrawal,
        orphan_timeout = ORPHAN_TIMEOUT.as_millis(),
    )
}
