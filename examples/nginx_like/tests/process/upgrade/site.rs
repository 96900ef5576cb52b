//! A server that is upgraded: its processes, its pid files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;
use tokio::process::Command;

use crate::proxy::NginxLike;
use crate::sockets::{Reserved, eventually};

/// The program that the tests belong to.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_nginx_like");

/// A server in front of an echo server, started by a name of its own. Dropping it kills the processes of the pid files.
pub(crate) struct UpgradeSite {
    pub(crate) old: NginxLike,
    /// What `proxy_pass` names.
    pub(crate) node: Reserved,
    dir: TempDir,
}

/// Lines of the main level and of `stream`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Conf<'a> {
    pub(crate) main: &'a str,
    pub(crate) stream: &'a str,
}

impl UpgradeSite {
    pub(crate) async fn start(conf: Conf<'_>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), conf, |_| {}).await
    }

    pub(crate) async fn start_in(
        dir: TempDir,
        conf: Conf<'_>,
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        Self::start_program(Path::new(PROGRAM), dir, conf, prepare).await
    }

    /// Starts the `program` by the name that [`use_program`](Self::use_program) replaces.
    pub(crate) async fn start_program(
        program: &Path,
        dir: TempDir,
        conf: Conf<'_>,
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let name = dir.path().join("nginx_like");
        symlink(program, &name).unwrap();
        let program = name;
        let mut command = Command::new(&program);
        prepare(&mut command);
        let node = Reserved::any();
        // Detached: it runs as long as the test's runtime.
        drop(node.serve("node").await);
        let (main, stream) = texts(dir.path(), &node, conf);
        let old = NginxLike::start_by(command, Reserved::any(), &main, &stream).await;
        let site = Self { old, node, dir };
        eventually("the pid file", || site.pid().is_some()).await;
        site
    }

    /// Replaces the configuration.
    pub(crate) fn configure(&self, conf: Conf<'_>) {
        let (main, stream) = texts(self.dir.path(), &self.node, conf);
        self.old.configure(&main, &stream);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces the file of the program by a script.
    pub(crate) fn replace_program(&self, script: &str) {
        let new = self.path("new");
        let script = script.replace("NGINX_LIKE", PROGRAM);
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.path("nginx_like")).unwrap();
    }

    /// Replaces the file of the program by `program`.
    pub(crate) fn use_program(&self, program: &Path) {
        let new = self.path("new");
        symlink(program, &new).unwrap();
        fs::rename(new, self.path("nginx_like")).unwrap();
    }

    /// The process of the pid file.
    pub(crate) fn pid(&self) -> Option<Pid> {
        read(&self.path("lb.pid"))
    }

    /// The process of the pid file of a server that has started another.
    pub(crate) fn old_pid(&self) -> Option<Pid> {
        read(&self.path("lb.pid.oldbin"))
    }

    /// Sends SIGUSR2 to the process of the pid file, and waits until another has written it.
    pub(crate) async fn upgrade(&self) -> Pid {
        let old = self.pid().expect("a process");
        kill_process(old, Signal::USR2).unwrap();
        let is_new = || self.pid().is_some_and(|pid| pid != old);
        eventually("the pid of the new process", is_new).await;
        assert_eq!(self.old_pid(), Some(old));
        self.pid().expect("a process")
    }

    /// Ends `new`, the process of the new binary, and waits until the pid file names the old one again.
    pub(crate) async fn go_back(&self, new: Pid, signal: Signal) {
        let old = self.old_pid().expect("the old process waits");
        kill_process(new, signal).unwrap();
        self.wait_until_back(new, old).await;
    }

    /// Waits until `new`, the process of the new binary, has ended, and the pid file names `old` again.
    pub(crate) async fn wait_until_back(&self, new: Pid, old: Pid) {
        gone(new).await;
        let is_back = || self.pid() == Some(old) && self.old_pid().is_none();
        eventually("the old pid file", is_back).await;
    }
}

impl Drop for UpgradeSite {
    fn drop(&mut self) {
        for pid in [self.pid(), self.old_pid()].into_iter().flatten() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

pub(crate) fn read(path: &Path) -> Option<Pid> {
    Pid::from_raw(fs::read_to_string(path).ok()?.trim().parse().ok()?)
}

/// Waits until there is no such process.
pub(crate) async fn gone(pid: Pid) {
    eventually("the end of a process", || test_kill_process(pid).is_err()).await;
}

fn texts(dir: &Path, node: &Reserved, conf: Conf<'_>) -> (String, String) {
    let fill = |text: &str| {
        let text = text.replace("DIR", &dir.display().to_string());
        text.replace("NODE", &node.addr.to_string())
    };
    let main = format!("pid {}; {}", dir.join("lb.pid").display(), conf.main);
    let server = format!("server {{ listen LISTEN; proxy_pass {}; }}", node.addr);
    (fill(&main), fill(&format!("{server} {}", conf.stream)))
}
