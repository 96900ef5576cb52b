//! The task that reports readiness.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_proxy::Handle;
use lb_proxy::reports::Readiness;
use tokio::join;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::ready_file::{ReadyFile, Shown};
use super::service_manager::ServiceManager;
use crate::config::ready_file::ReadyFileConfig;

/// How long a report of the control loop holds where no directive says so.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// Of how many reports in a row one has to come in time.
const REPORTS: u32 = 3;

/// The readiness file, if there is one. The handler of signals writes to it as well.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedReadyFile {
    file: Option<Arc<Mutex<ReadyFile>>>,
    /// Set once this process ends while the process of another binary serves on.
    another_serves: Arc<AtomicBool>,
    /// Whether systemd takes the process of the old binary for the main one: it would not listen to this one.
    is_deferred: Arc<AtomicBool>,
}

impl SharedReadyFile {
    /// Writes that the server is not ready, unless a living process owns the file. [`fall_silent`](Self::fall_silent) sets
    /// `another_serves`.
    pub(crate) fn create(
        config: Option<&ReadyFileConfig>,
        another_serves: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let file = config.cloned().map(ReadyFile::create).transpose()?;
        Ok(Self {
            file: file.map(|file| Arc::new(Mutex::new(file))),
            another_serves,
            ..Self::default()
        })
    }

    /// As [`create`](Self::create), but writes nothing before [`claim_when_ready`](Self::claim_when_ready): the process of the
    /// old binary does.
    pub(crate) fn deferred(
        config: Option<&ReadyFileConfig>,
        another_serves: Arc<AtomicBool>,
    ) -> Self {
        let file = config.cloned().map(ReadyFile::deferred);
        Self {
            file: file.map(|file| Arc::new(Mutex::new(file))),
            is_deferred: Arc::new(AtomicBool::new(true)),
            another_serves,
        }
    }

    /// Leaves the file to the process of another binary.
    pub(crate) fn release(&self) {
        if let Some(mut file) = self.lock() {
            file.release();
        }
    }

    /// Leaves the file to the process of the new binary as soon as that replaces it.
    pub(crate) fn yield_to_successor(&self) {
        if let Some(mut file) = self.lock() {
            file.yield_to_successor();
        }
    }

    /// Takes the file over from the process of the old binary, which serves on, once this one is ready.
    pub(crate) fn claim_when_ready(&self) {
        if let Some(mut file) = self.lock() {
            file.claim_when_ready();
        }
    }

    /// Takes the file over from a process that ends, and writes how ready the server of `handle` is now.
    pub(crate) fn claim(&self, handle: &Handle) {
        self.is_deferred.store(false, Relaxed);
        if let Some(mut file) = self.lock() {
            file.claim(Shown::from(&handle.readiness()));
        }
    }

    /// Leaves the file and systemd to the process of another binary, because this one ends.
    pub(crate) fn fall_silent(&self) {
        self.another_serves.store(true, Relaxed);
        self.release();
    }

    /// Whether the file and systemd are left to the process of another binary.
    pub(crate) fn is_silent(&self) -> bool {
        self.another_serves.load(Relaxed)
    }

    /// Writes that the shutdown has begun: before the first socket closes.
    pub(crate) fn leave(&self) {
        if let Some(mut file) = self.lock() {
            file.leave();
        }
    }

    fn show(&self, shown: Shown) {
        if let Some(mut file) = self.lock() {
            file.show(shown);
        }
    }

    fn beat(&self) {
        if let Some(mut file) = self.lock() {
            file.beat();
        }
    }

    /// Why the file does not say what it should, if it does not.
    fn problem(&self) -> Option<String> {
        self.lock()?.problem()
    }

    fn heartbeat(&self) -> Option<Duration> {
        self.lock().map(|file| file.config().heartbeat)
    }

    fn lock(&self) -> Option<MutexGuard<'_, ReadyFile>> {
        let file = self.file.as_ref()?;
        Some(file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reports the readiness of a server to a file and to systemd, and that its control loop is alive.
///
/// It runs on the main thread, as the handler of signals does: a process whose main thread hangs does not look alive. It writes to
/// the file there as well, which is one rename: the file belongs on a file system in memory, such as `/run`.
#[derive(Debug)]
pub(crate) struct ReadinessReporter {
    handle: Handle,
    file: SharedReadyFile,
    manager: Option<Arc<Mutex<ServiceManager>>>,
}

impl ReadinessReporter {
    /// `is_upgraded`: the process of an old binary started this one.
    pub(crate) fn new(handle: Handle, file: SharedReadyFile, is_upgraded: bool) -> Self {
        let manager = ServiceManager::of_process(is_upgraded);
        Self {
            handle,
            file,
            manager: manager.map(|manager| Arc::new(Mutex::new(manager))),
        }
    }

    /// Reports until it is dropped.
    pub(crate) async fn run(self) {
        join!(self.beat(), self.follow());
    }

    /// Reports that the control loop is alive, as long as the workers answer.
    async fn beat(&self) {
        let longest = self.file.heartbeat().unwrap_or(HEARTBEAT);
        let watchdog = self.manager().and_then(|manager| manager.watchdog());
        let period = watchdog.map_or(longest, |watchdog| watchdog.min(longest)) / REPORTS;
        let mut was_deferred = self.file.is_deferred.load(Relaxed);
        let mut ticks = interval(period.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.handle.workers_answer().await;
            self.handle.heartbeat(longest);
            self.file.beat();
            self.handle.note_publication(self.file.problem());
            let is_deferred = self.file.is_deferred.load(Relaxed);
            if was_deferred && !is_deferred {
                self.introduce();
            }
            was_deferred = is_deferred;
            if let Some(mut manager) = self.manager() {
                manager.alive();
            }
        }
    }

    /// Says what systemd has not heard while it took another process for the main one.
    fn introduce(&self) {
        if let Some(mut manager) = self.manager() {
            manager.serving();
        }
        self.report(&self.handle.readiness());
    }

    async fn follow(&self) {
        if let Some(mut manager) = self.manager() {
            manager.serving();
        }
        let mut watch = self.handle.watch_readiness();
        let mut before = None;
        loop {
            let readiness = watch.changed().await;
            self.report(&readiness);
            log(&readiness, &mut before);
        }
    }

    fn report(&self, readiness: &Readiness) {
        self.file.show(Shown::from(readiness));
        self.handle.note_publication(self.file.problem());
        if let Some(mut manager) = self.manager() {
            if readiness.is_leaving() {
                manager.stopping();
            }
            manager.status(&readiness.to_string());
        }
    }

    fn manager(&self) -> Option<MutexGuard<'_, ServiceManager>> {
        let speaks = !self.file.is_silent() && !self.file.is_deferred.load(Relaxed);
        let manager = self.manager.as_ref().filter(|_| speaks)?;
        Some(manager.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<&Readiness> for Shown {
    fn from(readiness: &Readiness) -> Self {
        match readiness {
            readiness if readiness.is_leaving() => Self::Leaving,
            readiness if readiness.is_ready() => Self::Ready,
            _ => Self::NotReady,
        }
    }
}

/// Logs the changes, but not the beginning and the end of the process, which have lines of their own.
fn log(readiness: &Readiness, before: &mut Option<bool>) {
    let is_ready = readiness.is_ready();
    if readiness.is_leaving() || *before == Some(is_ready) {
        return;
    }
    match (is_ready, before.is_some()) {
        (true, _) => info!("Ready"),
        (false, true) => warn!("{readiness}"),
        (false, false) => {}
    }
    *before = Some(is_ready);
}
