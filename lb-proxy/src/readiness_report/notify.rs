//! Notifications to systemd (`sd_notify`), without waiting for it.
//!
//! `sd_notify::notify` waits while the queue of systemd's socket is full, and the threads that call this carry traffic or handle
//! signals.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::thread;

use sd_notify::NotifyState;
use tracing::warn;

/// Tells systemd that the service goes on as the process `pid`, which this process has started. Without systemd it does nothing.
///
/// Only the main process of a unit may say so, by the default `NotifyAccess=main`.
pub fn notify_main_pid(pid: u32) {
    let state = NotifyState::MainPid(pid);
    let told = match notify_service_manager(&state.to_string()) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            // The process may end before systemd reads: then that finds out by itself.
            let wait = move || warn_of(sd_notify::notify(&[NotifyState::MainPid(pid)]));
            let thread = thread::Builder::new().name("notify".to_owned());
            thread.spawn(wait).map(drop)
        }
        told => told,
    };
    warn_of(told);
}

fn warn_of(told: io::Result<()>) {
    if let Err(error) = told {
        warn!(%error, "systemd not told the new main process");
    }
}

/// Sends lines such as `STATUS=…` to systemd, if it wants some (`NOTIFY_SOCKET`). Does not wait.
///
/// # Errors
///
/// Those of the socket. [`WouldBlock`](io::ErrorKind::WouldBlock) if systemd does not read what was sent before.
pub fn notify_service_manager(lines: &str) -> io::Result<()> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address(&path)?)?;
    socket.send(lines.as_bytes()).map(drop)
}

/// A path, or behind `@` an abstract name.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(path),
    }
}
