//! What a server and its handles share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Mutex as AsyncMutex, watch};

use super::active_config::ActiveConfig;
use super::context::ServerContext;
use super::phase::Phase;
use super::reload_history::ReloadHistory;

/// What a server and its handles share.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub(crate) context: ServerContext,
    pub(crate) phase: watch::Sender<Phase>,
    active: Mutex<ActiveConfig>,
    pub(crate) history: ReloadHistory,
    pub(crate) started: SystemTime,
    /// Held during a reload, so that reloads are applied one after the other.
    pub(crate) reloading: AsyncMutex<()>,
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
        })
    }

    /// A panic under the lock leaves the value consistent.
    pub(crate) fn active(&self) -> MutexGuard<'_, ActiveConfig> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
