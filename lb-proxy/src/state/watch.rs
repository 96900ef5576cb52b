//! What a proxy keeps an eye on for its whole life, whatever a reload changes.

use crate::failures::Failures;
use crate::state::hops::Hops;

/// Shared by the workers and the listeners of one proxy.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) failures: Failures,
    pub(crate) hops: Hops,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            failures: Failures::default(),
            hops: Hops::new(),
        }
    }

    /// To be called every second or so.
    pub(crate) fn tick(&self) {
        self.failures.report_due();
        self.hops.tidy();
    }
}
