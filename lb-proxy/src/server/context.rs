//! State of a server from its bind to its end.

use std::sync::Arc;

use tokio::runtime;

use crate::metrics::Metrics;
use crate::state::shutdown::ShutdownSignals;
use crate::state::trackers::Trackers;
use crate::state::worker::Worker;

/// The parts of a server that no reload replaces.
#[derive(Debug)]
pub(crate) struct ServerContext {
    pub(crate) workers: Vec<Arc<Worker>>,
    pub(crate) signals: ShutdownSignals,
    pub(crate) trackers: Arc<Trackers>,
    /// The embedder's runtime.
    pub(crate) runtime: runtime::Handle,
}

impl ServerContext {
    /// The sum of all workers' counters, and what is counted for the server as a whole. O(workers).
    pub(crate) fn metrics(&self) -> Metrics {
        let mut sum = Metrics::read(self.workers.iter().map(|worker| &*worker.counters));
        sum.panics += self.trackers.panics.get();
        sum
    }
}
