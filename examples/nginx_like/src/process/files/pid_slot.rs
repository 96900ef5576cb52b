//! The pid file of a running server, which the main thread and the control thread share.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::error;

use super::access::FileAccess;
use super::file_threads::FileThreads;
use super::pid::PidGuard;
use crate::config::pid::PidPath;
use crate::process::error::StartError;

/// The pid file, if there is one. The main thread empties the slot at the end, even if the control thread hangs then.
#[derive(Clone, Debug, Default)]
pub(crate) struct PidSlot(Arc<Mutex<Option<PidGuard>>>);

impl PidSlot {
    pub(crate) fn set(&self, file: Option<PidGuard>) {
        *self.lock() = file;
    }

    pub(crate) fn take(&self) -> Option<PidGuard> {
        self.lock().take()
    }

    /// Whether there is a pid file at `path`.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.lock().as_ref().map(PidGuard::path) == Some(path)
    }

    /// Writes the pid file that was opened at the start.
    pub(crate) fn write(&self, threads: &FileThreads) {
        self.change(threads, "Pid file not written", PidGuard::write);
    }

    /// Renames the pid file for a new binary.
    pub(crate) fn retire(&self, threads: &FileThreads) -> Result<(), StartError> {
        let renamed = self.try_change(threads, PidGuard::retire);
        renamed.map_err(StartError::upgrade("renaming the pid file"))
    }

    /// Undoes [`retire`](Self::retire).
    pub(crate) fn restore(&self, threads: &FileThreads) {
        self.change(threads, "Pid file not renamed", PidGuard::restore);
    }

    /// Writes the new pid file and removes the old one. The configuration is applied already, so errors are only logged.
    pub(crate) fn replace(&self, threads: &FileThreads, new: Option<PidGuard>) {
        let written = new.map(|mut new| {
            let written = threads.run(move || new.write().map(|()| new));
            written.flatten()
        });
        match written.transpose() {
            Ok(new) => {
                let before = std::mem::replace(&mut *self.lock(), new);
                if let Err(error) = threads.run(move || drop(before)) {
                    error!(%error, "Old pid file not removed");
                }
            }
            Err(error) => error!(%error, "Pid file not written, the old one remains"),
        }
    }

    fn change(
        &self,
        threads: &FileThreads,
        failed: &str,
        change: fn(&mut PidGuard) -> io::Result<()>,
    ) {
        if let Err(error) = self.try_change(threads, change) {
            error!(%error, "{failed}");
        }
    }

    /// The slot is empty meanwhile: at the end of the process nothing waits for a file that hangs.
    fn try_change(
        &self,
        threads: &FileThreads,
        change: fn(&mut PidGuard) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(mut guard) = self.take() else {
            return Ok(());
        };
        let slot = self.clone();
        let changed = threads.run(move || {
            let changed = change(&mut guard);
            slot.set(Some(guard));
            changed
        });
        changed.flatten()
    }

    /// No code that can panic or block runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Option<PidGuard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the pid file `pid` on a thread of its own.
pub(crate) fn open(
    files: &Arc<FileAccess>,
    threads: &FileThreads,
    pid: &PidPath,
) -> Result<Option<PidGuard>, StartError> {
    let (files, pid) = (Arc::clone(files), pid.clone());
    let opened = threads.run(move || files.open_pid(&pid));
    opened.map_err(StartError::hung("opening the pid file"))?
}
