//! The pid file of a running server, which the main thread and the control thread share.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use super::access::FileAccess;
use super::changing_files::{ChangingFiles, FileChange};
use super::file_threads::FileThreads;
use super::pid::PidGuard;
use crate::config::pid::PidPath;
use crate::process::error::StartError;

/// How long the end of the process waits for a change of the pid file that is under way.
const LAST_CHANGE: Duration = Duration::from_secs(1);

/// The pid file, if there is one. The main thread empties the slot at the end, even if the control thread hangs then.
#[derive(Clone, Debug, Default)]
pub(crate) struct PidSlot(Arc<ChangingFiles<Option<PidGuard>>>);

impl PidSlot {
    pub(crate) fn set(&self, file: Option<PidGuard>) {
        **self.0.lock() = file;
    }

    /// Empties the slot at the end of the process. Waits for a change that is under way, because it would write or rename the file
    /// that its end should remove; but no more than a second, because the file may hang.
    pub(crate) fn take_last(&self) -> Option<PidGuard> {
        self.take_within(LAST_CHANGE)
    }

    fn take_within(&self, limit: Duration) -> Option<PidGuard> {
        self.0.lock_unchanging(limit).take()
    }

    /// Whether there is a pid file at `path`.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.0.lock().as_ref().map(PidGuard::path) == Some(path)
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
        let change = Change::begin(self);
        let replaced = threads.run(move || {
            let written = new.map(|mut new| new.write().map(|()| new)).transpose();
            written.map(|new| std::mem::replace(&mut **change.slot.0.lock(), new))
        });
        match replaced.flatten() {
            Ok(before) => {
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

    /// The slot is empty meanwhile: no lock is held while a file hangs.
    fn try_change(
        &self,
        threads: &FileThreads,
        change: fn(&mut PidGuard) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut begun = Change::begin(self);
        begun.file = self.0.lock().take();
        if begun.file.is_none() {
            return Ok(());
        }
        let changed = threads.run(move || begun.file.as_mut().map_or(Ok(()), change));
        changed.flatten()
    }
}

/// A change of the pid file, until this is dropped.
#[derive(Debug)]
struct Change {
    slot: PidSlot,
    /// The file that returns to the slot.
    file: Option<PidGuard>,
    /// Dropped after the file has returned.
    _under_way: FileChange<Option<PidGuard>>,
}

impl Change {
    fn begin(slot: &PidSlot) -> Self {
        Self {
            _under_way: slot.0.begin_change(),
            slot: slot.clone(),
            file: None,
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            self.slot.set(Some(file));
        }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::process::files::pid::PidFile;

    /// A slot with a pid file at `path`.
    fn slot_at(path: &Path) -> PidSlot {
        let slot = PidSlot::default();
        slot.set(Some(PidGuard::Own(PidFile::open(path, None).unwrap())));
        slot.write(&FileThreads::default());
        slot
    }

    #[test]
    fn the_end_waits_for_a_change_and_removes_the_file_under_its_new_name() {
        static RETIRED: Barrier = Barrier::new(2);
        static GO_ON: Barrier = Barrier::new(2);
        let dir = tempfile::tempdir().unwrap();
        let slot = slot_at(&dir.path().join("lb.pid"));
        let changed = slot.clone();
        let changing = thread::spawn(move || {
            changed.try_change(&FileThreads::default(), |file| {
                file.retire()?;
                RETIRED.wait();
                GO_ON.wait();
                Ok(())
            })
        });
        RETIRED.wait();
        // One that hangs does not keep the process.
        assert!(slot.take_within(Duration::ZERO).is_none());
        let ending = thread::spawn(move || drop(slot.take_last()));
        GO_ON.wait();
        changing.join().unwrap().unwrap();
        ending.join().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_change_that_does_not_begin_leaves_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.pid");
        let slot = slot_at(&path);
        let mut change = Change::begin(&slot);
        change.file = slot.0.lock().take();
        // As the closure of a thread that is not started.
        drop(change);
        assert!(slot.is_at(&path) && path.exists());
        drop(slot.take_last());
        assert!(!path.exists());
    }
}
