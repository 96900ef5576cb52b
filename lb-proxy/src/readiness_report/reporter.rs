//! The task that reports readiness.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::join;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::ready_file::Shown;
use super::service_manager::ServiceManager;
use super::shared_file::SharedReadyFile;
use crate::readiness::Readiness;
use crate::server::Handle;

/// How long a report of the control loop holds without a file.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// Of how many reports in a row one has to come in time.
const REPORTS: u32 = 3;

/// Reports the readiness of a server to a file and to systemd, and that its control loop is alive.
///
/// [`run`](Self::run) is the control loop: it calls [`Handle::heartbeat`] while the workers answer. Run it on the runtime that
/// handles signals and reloads: a process in which that hangs does not look alive. It writes to the file there as well, which is one
/// rename.
#[derive(Debug)]
pub struct ReadinessReporter {
    handle: Handle,
    file: SharedReadyFile,
    manager: Option<Arc<Mutex<ServiceManager>>>,
}

impl ReadinessReporter {
    /// A reporter to `file` and to systemd, if that has started the process and asks for it (`NOTIFY_SOCKET`). `is_upgraded`: the
    /// process of an old binary started this one.
    pub fn new(handle: Handle, file: SharedReadyFile, is_upgraded: bool) -> Self {
        let manager = ServiceManager::of_process(is_upgraded);
        Self {
            handle,
            file,
            manager: manager.map(|manager| Arc::new(Mutex::new(manager))),
        }
    }

    /// Reports until it is dropped. Needs a Tokio runtime with time enabled.
    pub async fn run(self) {
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
