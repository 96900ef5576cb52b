//! A lock by which processes take turns to replace a file of a directory.

use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How long another process is waited for: longer than it takes to open a socket.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// A lock (flock(2)) of a directory until it is dropped.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _dir: File,
}

impl DirectoryLock {
    /// Locks the directory of the file `path`. Blocks for a second at most. `None` if the directory cannot be locked, for
    /// example because a process holds a lock for longer: every user that can read a directory can lock it, and must not
    /// keep the caller from its work.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = File::open(dir.unwrap_or_else(|| Path::new("."))).ok()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Some(Self { _dir: dir }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => sleep(PAUSE),
                Err(_) => return None,
            }
        }
    }
}
