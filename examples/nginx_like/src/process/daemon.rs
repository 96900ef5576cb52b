//! `daemon on`: the server runs on in a process of its own.
//!
//! nginx forks. Here the program starts itself again, with the same arguments and a descriptor on which the new process reports
//! that it listens; the first process then ends. The new one has a session of its own, so that no terminal ends it.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use super::error::StartError;

/// The argument of the new process.
pub(crate) const ARGUMENT: &str = "--detached";

/// What the new process writes once it listens.
const READY: [u8; 1] = [1];

/// Starts the server as a process that outlives this one, and waits until it listens. Returns whether it does; if not, it has
/// printed why.
pub(crate) fn start() -> Result<bool, StartError> {
    if inherits_sockets() {
        return Err(StartError::DaemonWithSockets);
    }
    let failed = |source| StartError::System {
        call: "starting the daemon".to_owned(),
        source,
    };
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_else(|| "nginx_like".into());
    let mut child = Command::new("/proc/self/exe")
        .arg0(name)
        .arg(ARGUMENT)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut message = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(READY.len() as u64).read_to_end(&mut message);
        read.map_err(failed)?;
    }
    if message == READY {
        return Ok(true);
    }
    let status = child.wait().map_err(failed)?;
    match status.signal() {
        Some(_) => Err(StartError::DaemonEnded(status)),
        None => Ok(false),
    }
}

/// Whether systemd passed sockets on to this process. They are for this process alone.
fn inherits_sockets() -> bool {
    let us = std::process::id().to_string();
    env::var("LISTEN_PID").is_ok_and(|pid| pid == us) && env::var_os("LISTEN_FDS").is_some()
}

/// Reports to the process that started this one that the server listens.
#[derive(Debug)]
pub(crate) struct StartReport {
    is_awaited: bool,
}

impl StartReport {
    /// Of a process in the foreground: nothing waits for it.
    pub(crate) const fn foreground() -> Self {
        Self { is_awaited: false }
    }

    /// Of a process that was started with [`ARGUMENT`]. Gives it a session of its own.
    pub(crate) fn detached() -> Result<Self, StartError> {
        rustix::process::setsid().map_err(|errno| StartError::System {
            call: "setsid()".to_owned(),
            source: errno.into(),
        })?;
        // The kernel took the name from /proc/self/exe.
        let _ = rustix::thread::set_name(c"nginx_like");
        Ok(Self { is_awaited: true })
    }

    /// Whether the process is a daemon.
    pub(crate) const fn is_daemon(&self) -> bool {
        self.is_awaited
    }

    /// Reports it, and closes the standard streams as nginx does: the error stream stays if the log goes there.
    pub(crate) fn announce(self, keeps_stderr: bool) -> Result<(), StartError> {
        if !self.is_awaited {
            return Ok(());
        }
        let announced = report().and_then(|()| close_streams(keeps_stderr));
        announced.map_err(|source| StartError::System {
            call: "announcing the start".to_owned(),
            source,
        })
    }
}

fn report() -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(&READY)?;
    stdout.flush()
}

/// Replaces the standard output, and with it what started this process reads to its end, and perhaps the error stream.
pub(crate) fn close_streams(keeps_stderr: bool) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    if !keeps_stderr {
        rustix::stdio::dup2_stderr(&null)?;
    }
    Ok(())
}
