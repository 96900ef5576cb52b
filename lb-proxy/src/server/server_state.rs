//! What a server and its handles share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Mutex as AsyncMutex, watch};

use super::active_config::ActiveConfig;
use super::context::ServerContext;
use super::phase::Phase;
use super::reload_history::{ReloadHistory, ReloadRecord};
use super::report::{ReloadCounts, ReloadReport};
use crate::metrics::DetailedMetrics;
#[cfg(feature = "admin")]
use crate::metrics::ListenerMetrics;

/// What a server and its handles share.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub(crate) context: ServerContext,
    pub(crate) phase: watch::Sender<Phase>,
    active: Mutex<ActiveConfig>,
    history: ReloadHistory,
    pub(crate) started: SystemTime,
    /// Held during a reload, so that reloads are applied one after the other.
    pub(crate) reloading: AsyncMutex<()>,
    applied: AtomicU64,
    failed: AtomicU64,
}

impl ServerState {
    pub(crate) fn new(context: ServerContext, active: ActiveConfig) -> Arc<Self> {
        Arc::new(Self {
            context,
            phase: watch::Sender::new(Phase::Starting),
            active: Mutex::new(active),
            history: ReloadHistory::default(),
            started: SystemTime::now(),
            reloading: AsyncMutex::default(),
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

    /// The counters by listener, if the server has them.
    #[cfg(feature = "admin")]
    pub(crate) fn listener_metrics(&self) -> Option<Vec<ListenerMetrics>> {
        let detailed = self.context.trackers.detailed()?;
        let listeners = self.active().endpoints();
        Some(detailed.read_listeners(&listeners, false))
    }

    /// A panic under the lock leaves the value consistent.
    pub(crate) fn active(&self) -> MutexGuard<'_, ActiveConfig> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
