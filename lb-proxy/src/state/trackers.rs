//! Observations that outlive every reload.

use std::sync::Arc;

use super::hops::HopTracker;
use crate::failures::FailureReports;
use crate::metrics::detailed::DetailedCounters;
use crate::readiness::ReadinessSignal;

/// Shared by the workers and the listeners of one proxy, from its bind to its end.
#[derive(Debug)]
pub(crate) struct Trackers {
    pub(crate) failures: FailureReports,
    pub(crate) hops: HopTracker,
    /// Signalled when the readiness of the server may have changed.
    pub(crate) readiness: Arc<ReadinessSignal>,
    /// The counters by listener, upstream and backend, if the proxy counts them.
    pub(crate) detailed: Option<DetailedCounters>,
}

impl Trackers {
    pub(crate) fn new() -> Self {
        Self {
            failures: FailureReports::default(),
            hops: HopTracker::new(),
            readiness: ReadinessSignal::new(),
            detailed: None,
        }
    }

    /// Trackers with counters by listener, upstream and backend, for this number of workers.
    pub(crate) fn with_detailed_counters(workers: usize) -> Self {
        Self {
            detailed: Some(DetailedCounters::new(workers)),
            ..Self::new()
        }
    }

    /// Writes the reports that are due and drops outdated hops. Each worker calls this every second.
    pub(crate) fn tick(&self) {
        self.failures.report_due();
        self.hops.tidy();
    }
}
