//! Observations that outlive every reload.

use super::hops::HopTracker;
use crate::failures::FailureReports;

/// Shared by the workers and the listeners of one proxy, from its bind to its end.
#[derive(Debug)]
pub(crate) struct Trackers {
    pub(crate) failures: FailureReports,
    pub(crate) hops: HopTracker,
}

impl Trackers {
    pub(crate) fn new() -> Self {
        Self {
            failures: FailureReports::default(),
            hops: HopTracker::new(),
        }
    }

    /// Writes the reports that are due and drops outdated hops. Each worker calls this every second.
    pub(crate) fn tick(&self) {
        self.failures.report_due();
        self.hops.tidy();
    }
}
