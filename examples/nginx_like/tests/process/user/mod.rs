//! `user`: the rights of the process after the switch, and what its helper does for it. Most tests need the superuser.

mod files;
mod helper;
mod rights;
mod sockets;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::User;
use rustix::process::{Pid, geteuid};

use crate::proxy::NginxLike;
use crate::sockets::Reserved;

/// A user of every system.
pub(crate) const USER: &str = "daemon";

pub(crate) fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only the superuser can become another user");
    }
    is_root
}

pub(crate) fn uid() -> u32 {
    User::from_name(USER).unwrap().unwrap().uid.as_raw()
}

pub(crate) async fn node() -> (Reserved, String) {
    let node = Reserved::any();
    // Detached: it runs as long as the test's runtime.
    drop(node.serve("node").await);
    let stream = format!("server {{ listen LISTEN; proxy_pass {}; }}", node.addr);
    (node, stream)
}

/// A directory that only the superuser may write to, but all may read.
pub(crate) fn shared_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str], conf: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    let output = command.args(arguments).arg("-c").arg(conf).output();
    let output = output.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stderr)
}

/// The helper process of a server.
pub(crate) fn helper(proxy: &NginxLike) -> Option<Pid> {
    let id = proxy.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let children = children.expect("a kernel that lists a process's children");
    let id = children.split_whitespace().next()?.parse().ok()?;
    Pid::from_raw(id)
}

/// Whether there is such a process and it has not ended.
pub(crate) fn runs(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()));
    status.is_ok_and(|status| field(&status, "State:")[0] != "Z")
}

pub(crate) fn field<'a>(status: &'a str, name: &str) -> Vec<&'a str> {
    let line = status.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {status}"));
    line.split_whitespace().skip(1).collect()
}
