//! The lock that says which process writes the readiness file.
//!
//! It is an flock(2) on a file of its own beside it, `.NAME.lock`, which stays: the kernel releases the lock when the process ends,
//! however it ends, and no program that replaces the readiness file changes the lock.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// The lock of a process, held or not.
#[derive(Debug)]
pub(super) struct OwnerLock {
    path: PathBuf,
    held: Option<File>,
}

/// Which process has the lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lock {
    /// This one.
    Held,
    /// Another one, which lives.
    Other,
    /// That is not known: the file cannot be opened, or the file system has no locks.
    Unknown,
}

impl OwnerLock {
    /// The lock for the file at `path`. It is not acquired.
    pub(super) fn beside(path: &Path) -> Self {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".lock");
        Self {
            path: path.with_file_name(name),
            held: None,
        }
    }

    /// Acquires the lock if it is free, without waiting. Costs a stat if it is held.
    pub(super) fn acquire(&mut self) -> Lock {
        if self.held.as_ref().is_some_and(|file| self.is_at_path(file)) {
            return Lock::Held;
        }
        // Another program has removed the file of a lock that was held.
        self.held = None;
        let Ok(file) = self.open() else {
            return Lock::Unknown;
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if self.is_at_path(&file) => self.held = Some(file),
            Ok(()) | Err(Errno::WOULDBLOCK) => return Lock::Other,
            Err(_) => return Lock::Unknown,
        }
        Lock::Held
    }

    pub(super) fn release(&mut self) {
        self.held = None;
    }

    /// No other user can open it, and so none can keep a server from writing its file.
    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        options.read(true).write(true).create(true).truncate(false);
        options.mode(0o600).custom_flags(flags as i32);
        options.open(&self.path)
    }

    fn is_at_path(&self, file: &File) -> bool {
        let found = fs::symlink_metadata(&self.path);
        let held = file.metadata();
        matches!((found, held), (Ok(found), Ok(held)) if (found.dev(), found.ino()) == (held.dev(), held.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_until_it_releases_it_or_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready");
        let [mut one, mut other] = [&path, &path].map(|path| OwnerLock::beside(path));
        assert_eq!(one.acquire(), Lock::Held);
        assert_eq!(one.acquire(), Lock::Held);
        assert_eq!(other.acquire(), Lock::Other);
        one.release();
        assert_eq!(other.acquire(), Lock::Held);
        assert_eq!(one.acquire(), Lock::Other);
        drop(other);
        assert_eq!(one.acquire(), Lock::Held);
    }

    #[test]
    fn a_lock_whose_file_was_removed_is_acquired_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready");
        let [mut one, mut other] = [&path, &path].map(|path| OwnerLock::beside(path));
        assert_eq!(one.acquire(), Lock::Held);
        fs::remove_file(dir.path().join(".ready.lock")).unwrap();
        assert_eq!(one.acquire(), Lock::Held);
        assert_eq!(other.acquire(), Lock::Other);
        fs::remove_dir_all(dir.path()).unwrap();
        assert_eq!(one.acquire(), Lock::Unknown);
    }
}
