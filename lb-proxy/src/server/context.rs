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
    /// The sum of all workers' counters. O(workers).
    pub(crate) fn metrics(&self) -> Metrics {
        let mut sum = Metrics::default();
        for worker in &self.workers {
            worker.counters.add_to(&mut sum);
        }
        sum
    }
}
