//! The server's side.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown};

use super::wire::{Frame, Tag, receive, send};
use crate::process::upgrade::invocation::Invocation;
use crate::syntax::recording::Recording;

/// How long the end of the process waits for the helper to remove the pid file.
const END_TIMEOUT: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// How long a thread that may carry sessions waits for the helper to remove a file.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(1);

/// The helper process. When this is dropped, or this process ends, it ends as well.
#[derive(Debug)]
pub(crate) struct Helper {
    /// For requests. Each request carries a socket for its answer, so that a request that hangs does not delay the next.
    socket: Mutex<UnixStream>,
    /// The same socket, for the end.
    end: UnixStream,
    child: Mutex<Child>,
    /// Whether the helper ended with success.
    has_ended: AtomicBool,
}

impl Helper {
    /// Starts the helper with the arguments of this process. Logs that it opens are given to the user `owner`.
    pub(crate) fn start(owner: u32, invocation: &Invocation) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new("/proc/self/exe")
            .arg0("nginx_like: helper")
            .args(invocation.of_helper(owner))
            .stdin(OwnedFd::from(theirs))
            // Ctrl-C in a terminal is for the server.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            end: ours.try_clone()?,
            socket: Mutex::new(ours),
            child: Mutex::new(child),
            has_ended: AtomicBool::new(false),
        })
    }

    /// Reads the configuration again. The recording ends with the first mistake.
    pub(crate) fn load(&self) -> io::Result<Recording> {
        let answer = self.request(Tag::Load, Path::new(""))?;
        Recording::from_bytes(&answer.body).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Opens a log. A configuration that was loaded must name it.
    pub(crate) fn open_log(&self, path: &Path) -> io::Result<File> {
        let answer = self.request(Tag::OpenLog, path)?;
        answer.file.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Opens a pid file. A configuration that was loaded must name it.
    pub(crate) fn open_pid(&self, path: &Path) -> io::Result<()> {
        self.request(Tag::OpenPid, path).map(drop)
    }

    /// Writes the id of this process to a pid file that was [opened](Self::open_pid).
    pub(crate) fn write_pid(&self, path: &Path) -> io::Result<()> {
        self.request(Tag::WritePid, path).map(drop)
    }

    /// Removes a pid file that was [opened](Self::open_pid).
    pub(crate) fn remove_pid(&self, path: &Path) -> io::Result<()> {
        self.request(Tag::RemovePid, path).map(drop)
    }

    /// Opens a listening unix domain socket. A configuration that was loaded must name it.
    pub(crate) fn open_unix(&self, path: &Path) -> io::Result<UnixListener> {
        let answer = self.request(Tag::OpenUnix, path)?;
        let socket = answer.file.ok_or(io::ErrorKind::InvalidData)?;
        Ok(OwnedFd::from(socket).into())
    }

    /// Opens the file of a token to read it. A configuration that was loaded must name it.
    pub(crate) fn open_token(&self, path: &Path) -> io::Result<File> {
        let answer = self.request(Tag::OpenToken, path)?;
        answer.file.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Removes the file of a socket that was [opened](Self::open_unix). Waits a second at most.
    pub(crate) fn remove_unix(&self, path: &Path) -> io::Result<()> {
        self.request_within(Tag::RemoveUnix, path, Some(REMOVE_TIMEOUT))
            .map(drop)
    }

    /// Makes the helper the owner of the file of a socket that it did not open. A configuration that was loaded must name it.
    pub(crate) fn adopt_unix(&self, path: &Path) -> io::Result<()> {
        self.request(Tag::AdoptUnix, path).map(drop)
    }

    /// Sets whether the helper leaves the files of the sockets that it has opened or adopted so far.
    pub(crate) fn keep_unix(&self, keep: bool) -> io::Result<()> {
        let keep = if keep { "1" } else { "0" };
        self.request(Tag::KeepUnix, Path::new(keep)).map(drop)
    }

    /// Renames a pid file that was [opened](Self::open_pid), because a new binary starts.
    pub(crate) fn retire_pid(&self, path: &Path) -> io::Result<()> {
        self.request(Tag::RetirePid, path).map(drop)
    }

    /// Undoes [`retire_pid`](Self::retire_pid) for the pid file that was opened at `path`.
    pub(crate) fn restore_pid(&self, path: &Path) -> io::Result<()> {
        self.request(Tag::RestorePid, path).map(drop)
    }

    /// Starts the new binary. Returns its process id, and the other end of its standard input.
    pub(crate) fn start_upgrade(&self) -> io::Result<(u32, UnixStream)> {
        let answer = self.request(Tag::Upgrade, Path::new(""))?;
        let pid = answer.body.try_into().map(u32::from_le_bytes);
        let channel = answer.file.ok_or(io::ErrorKind::InvalidData)?;
        let pid = pid.map_err(|_| io::ErrorKind::InvalidData)?;
        Ok((pid, OwnedFd::from(channel).into()))
    }

    /// Sends SIGTERM or SIGKILL, by its number, to the process of the new binary.
    pub(crate) fn signal_upgrade(&self, signal: i32) -> io::Result<()> {
        let number = signal.to_le_bytes();
        let number = Path::new(OsStr::from_bytes(&number));
        self.request(Tag::SignalUpgrade, number).map(drop)
    }

    /// The exit status of the process of the new binary, which has ended.
    pub(crate) fn reap_upgrade(&self) -> io::Result<ExitStatus> {
        let answer = self.request(Tag::ReapUpgrade, Path::new(""))?;
        let status = answer.body.try_into().map(i32::from_le_bytes);
        let status = status.map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(ExitStatus::from_raw(status))
    }

    fn request(&self, tag: Tag, path: &Path) -> io::Result<Frame> {
        self.request_within(tag, path, None)
    }

    fn request_within(&self, tag: Tag, path: &Path, limit: Option<Duration>) -> io::Result<Frame> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(limit)?;
        let theirs = File::from(OwnedFd::from(theirs));
        let body = path.as_os_str().as_bytes();
        let sent = {
            // No code that can panic runs under the lock.
            let socket = self.socket.lock();
            let socket = socket.unwrap_or_else(PoisonError::into_inner);
            send(&socket, tag, body, Some(&theirs))
        };
        // Only the helper's descriptor remains, so that reading sees its end.
        drop(theirs);
        answer_of(sent.and_then(|()| receive(&ours)))
    }

    /// Lets the helper remove the pid file and end, also if it hangs on a file.
    pub(crate) fn end(&self) {
        let _ = shutdown(&self.end, Shutdown::Write);
        let mut ended = [PollFd::new(&self.end, PollFlags::RDHUP)];
        if poll(&mut ended, Some(&END_TIMEOUT)) == Ok(1)
            && let Ok(mut child) = self.child.lock()
        {
            // The socket is closed, so this does not wait. It leaves no zombie to the process that started this one.
            let ended = child.wait().is_ok_and(|status| status.success());
            self.has_ended.store(ended, Relaxed);
        }
    }

    /// Whether the helper has removed the pid files and ended.
    pub(crate) fn has_removed_all(&self) -> bool {
        self.has_ended.load(Relaxed)
    }
}

fn answer_of(answer: io::Result<Option<Frame>>) -> io::Result<Frame> {
    let Ok(Some(answer)) = answer else {
        let what = "the helper process has ended: restart the server";
        return Err(io::Error::other(what));
    };
    if answer.tag != Tag::Failed {
        return Ok(answer);
    }
    Err(match <[u8; 4]>::try_from(&*answer.body) {
        Ok(number) => io::Error::from_raw_os_error(i32::from_le_bytes(number)),
        Err(_) => io::Error::other(String::from_utf8_lossy(&answer.body)),
    })
}
