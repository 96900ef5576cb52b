//! State that a server and its handles share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::Instant;

use super::active_config::ActiveConfig;
use super::context::ServerContext;
use super::phase::Phase;
use super::reload_history::{ReloadHistory, ReloadRecord};
use super::report::{ReloadCounts, ReloadReport};
use crate::metrics::DetailedMetrics;
#[cfg(feature = "admin")]
use crate::operator_action::ActionHistory;

/// What a server and its handles share.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub(crate) context: ServerContext,
    pub(crate) phase: watch::Sender<Phase>,
    active: Mutex<ActiveConfig>,
    history: ReloadHistory,
    /// What operators did.
    #[cfg(feature = "admin")]
    pub(crate) actions: ActionHistory,
    pub(crate) started: SystemTime,
    /// Held during a reload, so that reloads are applied one after the other.
    pub(crate) reloading: AsyncMutex<()>,
    /// Until when the last report of the embedder's control loop holds.
    alive_until: Mutex<Option<Instant>>,
    /// Why the embedder cannot publish the readiness, if it cannot.
    publication: ReportedProblem,
    /// Why the embedder should not get connections, if it should not.
    program: ReportedProblem,
    applied: AtomicU64,
    failed: AtomicU64,
}

/// A problem that the embedder has reported, if it has one.
#[derive(Debug, Default)]
struct ReportedProblem(Mutex<Option<String>>);

impl ReportedProblem {
    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerState {
    pub(crate) fn new(context: ServerContext, active: ActiveConfig) -> Arc<Self> {
        Arc::new(Self {
            context,
            phase: watch::Sender::new(Phase::Starting),
            active: Mutex::new(active),
            history: ReloadHistory::default(),
            #[cfg(feature = "admin")]
            actions: ActionHistory::default(),
            started: SystemTime::now(),
            reloading: AsyncMutex::default(),
            alive_until: Mutex::default(),
            publication: ReportedProblem::default(),
            program: ReportedProblem::default(),
            applied: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// Adds a reload that ends now to the history, and counts it.
    pub(crate) fn note_reload(&self, outcome: Result<ReloadReport, Arc<str>>) {
        let count = if outcome.is_ok() {
            &self.applied
        } else {
            &self.failed
        };
        self.history.add(ReloadRecord::now(outcome));
        count.fetch_add(1, Relaxed);
    }

    pub(crate) fn reload_history(&self) -> Vec<ReloadRecord> {
        self.history.list()
    }

    pub(crate) fn reloads(&self) -> ReloadCounts {
        ReloadCounts {
            applied: self.applied.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }

    /// Until when the last report of the embedder's control loop holds, if there was one.
    pub(crate) fn alive_until(&self) -> Option<Instant> {
        *self.lock_alive()
    }

    /// Takes a report of the embedder's control loop, which holds until `until`.
    pub(crate) fn note_alive(&self, until: Instant) {
        let before = self.lock_alive().replace(until);
        // Else what watches looks again at the end of the report before, and finds this one.
        if before.is_none_or(|before| before <= Instant::now() || until < before) {
            self.context.trackers.readiness.changed();
        }
    }

    /// Why the embedder cannot publish the readiness, if it cannot.
    pub(crate) fn publication(&self) -> Option<String> {
        self.publication.lock().clone()
    }

    pub(crate) fn note_publication(&self, problem: Option<String>) {
        self.note(&self.publication, problem);
    }

    /// Why the embedder should not get connections, if it should not.
    pub(crate) fn program_problem(&self) -> Option<String> {
        self.program.lock().clone()
    }

    pub(crate) fn note_program(&self, problem: Option<String>) {
        self.note(&self.program, problem);
    }

    fn note(&self, reported: &ReportedProblem, problem: Option<String>) {
        let before = std::mem::replace(&mut *reported.lock(), problem.clone());
        if before != problem {
            self.context.trackers.readiness.changed();
        }
    }

    /// No code that can panic runs under the lock.
    fn lock_alive(&self) -> MutexGuard<'_, Option<Instant>> {
        self.alive_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters by listener, upstream and backend, if the server has them. With `forget`, what was removed and has no
    /// session any more is reported for the last time.
    pub(crate) fn detailed_metrics(&self, forget: bool) -> Option<DetailedMetrics> {
        let detailed = self.context.trackers.detailed()?;
        let (listeners, upstreams) = {
            let active = self.active();
            (active.endpoints(), active.upstreams())
        };
        let sets = upstreams.iter();
        let sets: Vec<_> = sets
            .map(|upstream| (Arc::clone(upstream.shared_name()), upstream.backends()))
            .collect();
        Some(detailed.read(&listeners, &sets, forget))
    }

    /// A panic under the lock leaves the value consistent.
    pub(crate) fn active(&self) -> MutexGuard<'_, ActiveConfig> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
