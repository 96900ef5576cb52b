//! The process of the new binary, as the old one sees it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::invocation::Invocation;
use crate::process::helper::client::Helper;

/// The process of the new binary.
#[derive(Debug)]
pub(crate) struct Successor {
    pub(crate) pid: u32,
    /// The other end is the standard input of the process.
    pub(super) channel: UnixStream,
    /// Readable once the process has ended.
    pub(super) pidfd: OwnedFd,
    parent: Parent,
}

/// The parent of the process, which alone reads its exit status.
#[derive(Debug)]
enum Parent {
    This(Mutex<Child>),
    Helper(Arc<Helper>),
}

impl Successor {
    /// Starts the new binary; with a `helper`, as its child.
    pub(crate) fn start(invocation: &Invocation, helper: Option<&Arc<Helper>>) -> io::Result<Self> {
        let (pid, channel, parent) = match helper {
            None => {
                let (child, channel) = invocation.start()?;
                (child.id(), channel, Parent::This(Mutex::new(child)))
            }
            Some(helper) => {
                let (pid, channel) = helper.start_upgrade()?;
                (pid, channel, Parent::Helper(Arc::clone(helper)))
            }
        };
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let id = id.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            pid,
            channel,
            pidfd: pidfd_open(id, PidfdFlags::empty())?,
            parent,
        })
    }

    /// Signals the process. With a helper, the process may still be the superuser's.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match (pidfd_send_signal(&self.pidfd, signal), &self.parent) {
            (Err(rustix::io::Errno::PERM), Parent::Helper(helper)) => {
                helper.signal_upgrade(signal.as_raw())
            }
            (sent, _) => Ok(sent?),
        }
    }

    /// The status of the process, which has ended.
    pub(super) fn reap(&self) -> io::Result<ExitStatus> {
        match &self.parent {
            Parent::This(child) => {
                let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
                child.wait()
            }
            Parent::Helper(helper) => helper.reap_upgrade(),
        }
    }
}
