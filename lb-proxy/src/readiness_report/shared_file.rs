//! The readiness file, shared by the tasks that write to it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ready_file::{ReadyFile, Shown};
use super::settings::ReadyFileSettings;
use crate::server::Handle;

/// The readiness file, if there is one. A copy is another handle: the handler of signals writes to it as well.
///
/// The file has a line with a number. It is replaced by a rename and never removed, because what reads it may take a missing file
/// for readiness. The process that holds a lock beside it owns it: a second process that was started by mistake changes nothing.
#[derive(Clone, Debug, Default)]
pub struct SharedReadyFile {
    file: Option<Arc<Mutex<ReadyFile>>>,
    /// Set once this process ends while the process of another binary serves on.
    another_serves: Arc<AtomicBool>,
    /// Whether systemd takes the process of the old binary for the main one: it would not listen to this one.
    pub(super) is_deferred: Arc<AtomicBool>,
}

impl SharedReadyFile {
    /// Writes that the server is not ready, unless a living process owns the file. `None`: there is no file, and every method does
    /// nothing.
    ///
    /// # Errors
    ///
    /// Those of the file system, such as a directory that is missing.
    pub fn create(settings: Option<&ReadyFileSettings>) -> io::Result<Self> {
        let file = settings.cloned().map(ReadyFile::create).transpose()?;
        Ok(Self {
            file: file.map(|file| Arc::new(Mutex::new(file))),
            ..Self::default()
        })
    }

    /// As [`create`](Self::create), but writes nothing before [`claim_when_ready`](Self::claim_when_ready): the process of the
    /// old binary does.
    pub fn deferred(settings: Option<&ReadyFileSettings>) -> Self {
        let file = settings.cloned().map(ReadyFile::deferred);
        Self {
            file: file.map(|file| Arc::new(Mutex::new(file))),
            is_deferred: Arc::new(AtomicBool::new(true)),
            ..Self::default()
        }
    }

    /// Sets the flag that [`fall_silent`](Self::fall_silent) sets. Default: one of its own.
    #[must_use]
    pub fn another_serves(mut self, flag: Arc<AtomicBool>) -> Self {
        self.another_serves = flag;
        self
    }

    /// Leaves the file to the process of another binary.
    pub fn release(&self) {
        if let Some(mut file) = self.lock() {
            file.release();
        }
    }

    /// Leaves the file to the process of the new binary as soon as that replaces it.
    pub fn yield_to_successor(&self) {
        if let Some(mut file) = self.lock() {
            file.yield_to_successor();
        }
    }

    /// Takes the file over from the process of the old binary, which serves on, once this one is ready.
    pub fn claim_when_ready(&self) {
        if let Some(mut file) = self.lock() {
            file.claim_when_ready();
        }
    }

    /// Takes the file over from a process that ends, and writes how ready the server of `handle` is now.
    pub fn claim(&self, handle: &Handle) {
        self.is_deferred.store(false, Relaxed);
        if let Some(mut file) = self.lock() {
            file.claim(Shown::from(&handle.readiness()));
        }
    }

    /// Leaves the file and systemd to the process of another binary, because this one ends.
    pub fn fall_silent(&self) {
        self.another_serves.store(true, Relaxed);
        self.release();
    }

    /// Whether the file and systemd are left to the process of another binary.
    pub fn is_silent(&self) -> bool {
        self.another_serves.load(Relaxed)
    }

    /// Writes that the shutdown has begun: before the first socket closes.
    pub fn leave(&self) {
        if let Some(mut file) = self.lock() {
            file.leave();
        }
    }

    pub(super) fn show(&self, shown: Shown) {
        if let Some(mut file) = self.lock() {
            file.show(shown);
        }
    }

    pub(super) fn beat(&self) {
        if let Some(mut file) = self.lock() {
            file.beat();
        }
    }

    /// Why the file does not say what it should, if it does not.
    pub(super) fn problem(&self) -> Option<String> {
        self.lock()?.problem()
    }

    pub(super) fn heartbeat(&self) -> Option<Duration> {
        self.lock().map(|file| file.config().heartbeat)
    }

    fn lock(&self) -> Option<MutexGuard<'_, ReadyFile>> {
        let file = self.file.as_ref()?;
        Some(file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
