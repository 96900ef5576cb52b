//! The process under test: nginx_like, or a real nginx.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tokio::process::{Child, Command as AsyncCommand};
use tokio::time::sleep;

use crate::case::{Case, MAIN};
use crate::places::Places;

/// The log of a configuration without `error_log`.
const ERROR_LOG: &str = "/var/log/nginx/error.log";

/// How long a start and a stop may take. Far longer than they take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program that runs the configurations.
#[derive(Debug)]
pub(crate) struct Program {
    path: OsString,
    /// The version of an nginx.
    version: Option<Vec<u32>>,
    /// How that was built.
    built: String,
    /// Directives that the program needs.
    directives: String,
}

impl Program {
    pub(crate) fn ours() -> Self {
        Self {
            path: env!("CARGO_BIN_EXE_nginx_like").into(),
            version: None,
            built: String::new(),
            directives: String::new(),
        }
    }

    /// The nginx at `path`. Its modules are loaded where they are not built in.
    pub(crate) fn nginx(path: OsString) -> Self {
        let output = Command::new(&path).arg("-V").output().unwrap();
        let built = String::from_utf8_lossy(&output.stderr).into_owned();
        let after = |start: &str| {
            let (_, rest) = built.split_once(start)?;
            rest.split_whitespace().next()
        };
        let version = after("nginx version: nginx/").expect("a version");
        let version = version.split('.').map(|number| number.parse().unwrap());
        let mut directives = String::new();
        if let Some(dir) = after("--modules-path=").filter(|_| built.contains("=dynamic")) {
            for module in ["ngx_stream_module.so", "ngx_mail_module.so"] {
                let module = Path::new(dir).join(module);
                if module.exists() {
                    directives += &format!("load_module {};", module.display());
                }
            }
        }
        Self {
            path,
            version: Some(version.collect()),
            built: built.clone(),
            directives,
        }
    }

    /// Whether it is nginx_like.
    pub(crate) const fn is_ours(&self) -> bool {
        self.version.is_none()
    }

    /// Whether it is an nginx that is older than the version `needed`.
    pub(crate) fn is_older_than(&self, needed: &[u32]) -> bool {
        let version = self.version.as_ref();
        version.is_some_and(|version| version.as_slice() < needed)
    }

    /// Whether it is an nginx without the module of this name.
    pub(crate) fn lacks(&self, module: &str) -> bool {
        let option = format!("--with-{module}");
        let mut options = self.built.split_whitespace();
        let loaded = self.directives.contains(&format!("ngx_{module}_module.so"));
        !self.is_ours() && !loaded && !options.any(|built| built == option)
    }

    /// Writes the files of the case below its directory.
    pub(crate) fn write(&self, case: &Case, places: &Places) -> Result<(), String> {
        let dirs = ["/etc/nginx/logs", "/var/log/nginx", "/run", "/var/run"];
        for dir in dirs {
            fs::create_dir_all(places.path(dir)).map_err(|error| error.to_string())?;
        }
        for (path, text) in &case.files {
            let path = places.path(path);
            let dir = path.parent().expect("a file has a directory");
            let text: String = text.lines().map(|line| self.line(line) + "\n").collect();
            let written = fs::create_dir_all(dir)
                .and_then(|()| fs::write(&path, places.configuration(&text)));
            written.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// A line of a configuration as this machine can run it: by the user of the test, and in nginx with one worker, because its
    /// workers share no state.
    fn line(&self, line: &str) -> String {
        if line.starts_with("user ") {
            return user();
        }
        match self.is_ours() {
            false if line.starts_with("load_module ") => String::new(),
            false if line.starts_with("worker_processes ") => "worker_processes 1;".to_owned(),
            _ => line.to_owned(),
        }
    }

    fn command(&self, case: &Case, places: &Places) -> Command {
        let conf = places.path(MAIN);
        let mut directives = self.directives.clone();
        if case.main_directive("daemon").is_none() {
            directives += "daemon off;";
        }
        if case.main_directive("pid").is_none() {
            directives += &format!("pid {};", pid_file(case, places).display());
        }
        if case.main_directive("user").is_none() {
            directives += &user();
        }
        let mut command = Command::new(&self.path);
        command.arg("-p").arg(conf.parent().expect("a directory"));
        command.arg("-c").arg(conf).arg("-g").arg(directives);
        command.arg("-e").arg(places.path(ERROR_LOG));
        command
    }

    /// The errors of `-t`, or nothing if the configuration is good.
    pub(crate) fn test(&self, case: &Case, places: &Places) -> Option<String> {
        let output = self.command(case, places).arg("-t").output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (!output.status.success()).then_some(text)
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn start(&self, case: &Case, places: &Places) -> Result<Balancer, String> {
        let output = places.path("/output");
        let file = File::create(&output).map_err(|error| error.to_string())?;
        let mut command = AsyncCommand::from(self.command(case, places));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(file).kill_on_drop(true);
        let child = command.spawn().map_err(|error| error.to_string())?;
        let mut balancer = Balancer {
            child,
            output,
            pid_file: pid_file(case, places),
        };
        balancer.wait_for_pid().await?;
        Ok(balancer)
    }
}

/// The directive for the user of the test. Only root may choose one.
fn user() -> String {
    match geteuid().is_root() {
        true => "user root;".to_owned(),
        false => String::new(),
    }
}

/// Where the process writes its id.
fn pid_file(case: &Case, places: &Places) -> PathBuf {
    places.path(case.main_directive("pid").unwrap_or("/run/nginx.pid"))
}

/// A running process. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Balancer {
    child: Child,
    output: PathBuf,
    pid_file: PathBuf,
}

impl Balancer {
    /// What it has printed.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Waits for the file with the process id, which is written once the sockets listen.
    async fn wait_for_pid(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        while fs::read_to_string(&self.pid_file)
            .unwrap_or_default()
            .is_empty()
        {
            let exited = self.child.try_wait().map_err(|error| error.to_string())?;
            if exited.is_some() || begin.elapsed() > PATIENCE {
                return Err(format!("it does not start: {}", self.output()));
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Stops it by SIGTERM, as a service manager does. It must succeed, and remove its pid file.
    pub(crate) async fn stop(mut self) -> Result<(), String> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(Pid::from_raw).ok_or("it has ended by itself")?;
        kill_process(id, Signal::TERM).map_err(|error| error.to_string())?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.map_err(|_| "it does not stop")?;
        if !status.as_ref().is_ok_and(ExitStatus::success) {
            return Err(format!("it ended with {status:?}: {}", self.output()));
        }
        match self.pid_file.exists() {
            true => Err("its pid file is left".to_owned()),
            false => Ok(()),
        }
    }
}
