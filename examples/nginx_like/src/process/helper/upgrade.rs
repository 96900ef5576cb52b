//! The helper starts the new binary, because that begins as the superuser.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::server::Response;
use crate::process::upgrade::invocation::Invocation;

/// The process of the new binary, a child of the helper. The server decides when to start it, the command line of the superuser
/// what is started.
#[derive(Debug)]
pub(super) struct Upgrade {
    invocation: Invocation,
    child: Mutex<Option<Child>>,
}

impl Upgrade {
    pub(super) const fn new(invocation: Invocation) -> Self {
        Self {
            invocation,
            child: Mutex::new(None),
        }
    }

    /// Starts it, unless one runs. Answers with its process id and its standard input.
    pub(super) fn start(&self) -> io::Result<Response> {
        let mut child = self.child();
        if let Some(running) = &mut *child
            && running.try_wait()?.is_none()
        {
            return Err(Errno::BUSY.into());
        }
        let (started, channel) = self.invocation.start()?;
        let started = child.insert(started);
        Ok(Response {
            body: started.id().to_le_bytes().into(),
            file: Some(File::from(OwnedFd::from(channel))),
        })
    }

    /// Sends it SIGTERM or SIGKILL.
    pub(super) fn signal(&self, number: &[u8]) -> io::Result<Response> {
        let mut signals = [Signal::TERM, Signal::KILL].into_iter();
        let signal = signals.find(|signal| signal.as_raw().to_le_bytes() == number);
        let signal = signal.ok_or(Errno::PERM)?;
        let child = self.child();
        let child = child.as_ref().ok_or(Errno::SRCH)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // The id is that of the child as long as it was not waited for.
        kill_process(pid.ok_or(Errno::SRCH)?, signal)?;
        Ok(Response::default())
    }

    /// Answers with its exit status, once it has ended.
    pub(super) fn reap(&self) -> io::Result<Response> {
        let mut child = self.child();
        let status = child.as_mut().ok_or(Errno::SRCH)?.try_wait()?;
        let status = status.ok_or(Errno::BUSY)?;
        *child = None;
        Ok(Response {
            body: status.into_raw().to_le_bytes().into(),
            file: None,
        })
    }

    /// A panic under the lock leaves the value consistent.
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
