//! Observations that outlive every reload.

use std::sync::{Arc, OnceLock};

use super::hops::HopTracker;
use super::lost_addresses::LostAddresses;
use crate::embedder_code::Panicked;
use crate::failures::FailureReports;
use crate::failures::kind::{Failure, FailureEvent};
use crate::metrics::Counter;
use crate::metrics::detailed::DetailedCounters;
use crate::readiness::ReadinessSignal;

/// Shared by the workers and the listeners of one proxy, from its bind to its end.
#[derive(Debug)]
pub(crate) struct Trackers {
    pub(crate) failures: FailureReports,
    pub(crate) hops: HopTracker,
    pub(crate) lost_addresses: LostAddresses,
    /// Panics of the embedder's code that no worker counts.
    pub(crate) panics: Counter,
    /// Signalled when the readiness of the server may have changed.
    pub(crate) readiness: Arc<ReadinessSignal>,
    detailed: OnceLock<DetailedCounters>,
}

impl Trackers {
    pub(crate) fn new() -> Self {
        Self {
            failures: FailureReports::default(),
            hops: HopTracker::new(),
            lost_addresses: LostAddresses::new(),
            panics: Counter::default(),
            readiness: ReadinessSignal::new(),
            detailed: OnceLock::new(),
        }
    }

    /// The counters by listener, upstream and backend, if the proxy counts them.
    pub(crate) fn detailed(&self) -> Option<&DetailedCounters> {
        self.detailed.get()
    }

    /// Counts by listener, upstream and backend from now on, for this number of workers: what is described afterwards.
    pub(crate) fn count_in_detail(&self, workers: usize) {
        self.detailed.get_or_init(|| DetailedCounters::new(workers));
    }

    /// Counts and reports a panic outside of sessions and upstreams.
    pub(crate) fn note_panic(&self, panicked: &Panicked) {
        self.panics.increment();
        let event = FailureEvent {
            error: Some(panicked),
            ..FailureEvent::default()
        };
        self.failures.record(Failure::Panic(panicked.code), &event);
    }

    /// Writes the reports that are due, and drops outdated hops and addresses. Each worker calls this every second.
    pub(crate) fn tick(&self) {
        self.failures.report_due();
        self.hops.tidy();
        self.lost_addresses.tidy();
    }
}
