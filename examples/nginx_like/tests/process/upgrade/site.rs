//! A server that is upgraded: its processes, its pid files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;
use tokio::process::Command;

use crate::proxy::NginxLike;
use crate::sockets::{Reserved, eventually};

/// A server in front of an echo server, started by a name of its own. Dropping it kills the processes of the pid files.
pub(super) struct UpgradeSite {
    pub(super) old: NginxLike,
    /// What `proxy_pass` names.
    pub(super) node: Reserved,
    dir: TempDir,
}

/// Lines of the main level and of `stream`.
#[derive(Clone, Copy, Default)]
pub(super) struct Conf<'a> {
    pub(super) main: &'a str,
    pub(super) stream: &'a str,
}

impl UpgradeSite {
    pub(super) async fn start(conf: Conf<'_>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), conf, |_| {}).await
    }

    pub(super) async fn start_in(
        dir: TempDir,
        conf: Conf<'_>,
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let program = dir.path().join("nginx_like");
        symlink(env!("CARGO_BIN_EXE_nginx_like"), &program).unwrap();
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
    pub(super) fn configure(&self, conf: Conf<'_>) {
        let (main, stream) = texts(self.dir.path(), &self.node, conf);
        self.old.configure(&main, &stream);
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces the file of the program by a script.
    pub(super) fn replace_program(&self, script: &str) {
        let new = self.path("new");
        let binary = env!("CARGO_BIN_EXE_nginx_like");
        let script = script.replace("NGINX_LIKE", binary);
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.path("nginx_like")).unwrap();
    }

    /// The process of the pid file.
    pub(super) fn pid(&self) -> Option<Pid> {
        read(&self.path("lb.pid"))
    }

    /// The process of the pid file of a server that has started another.
    pub(super) fn old_pid(&self) -> Option<Pid> {
        read(&self.path("lb.pid.oldbin"))
    }

    /// Sends SIGUSR2 to the process of the pid file, and waits until another has written it.
    pub(super) async fn upgrade(&self) -> Pid {
        let old = self.pid().expect("a process");
        kill_process(old, Signal::USR2).unwrap();
        let is_new = || self.pid().is_some_and(|pid| pid != old);
        eventually("the pid of the new process", is_new).await;
        assert_eq!(self.old_pid(), Some(old));
        self.pid().expect("a process")
    }
}

impl Drop for UpgradeSite {
    fn drop(&mut self) {
        for pid in [self.pid(), self.old_pid()].into_iter().flatten() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

pub(super) fn read(path: &Path) -> Option<Pid> {
    Pid::from_raw(fs::read_to_string(path).ok()?.trim().parse().ok()?)
}

/// Waits until there is no such process.
pub(super) async fn gone(pid: Pid) {
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
