//! The handle to a driver.

use std::sync::Arc;

use crate::driver::last_set::LastSet;
use crate::driver::state::DriverState;
use crate::driver::status::DriverStatus;
#[cfg(doc)]
use crate::driver::status::SourceStatus;
use crate::source::Source;

/// Reports the status of a [`Driver`](crate::Driver)'s sources and forwards refresh hints to them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DriverHandle {
    state: Arc<DriverState>,
    sources: Arc<[Arc<dyn Source>]>,
}

impl DriverHandle {
    pub(crate) fn new(state: Arc<DriverState>, sources: Arc<[Arc<dyn Source>]>) -> Self {
        Self { state, sources }
    }

    /// Hints that the published set may be outdated, for instance because connections fail: every source looks again
    /// soon, and one that waits after a failure is retried at once.
    ///
    /// O(1), and safe to call for each failed connection: hints that arrive together count as one, and each source acts
    /// on at most one in [`min_refresh`](crate::DriverConfig::min_refresh).
    #[doc(alias = "request_resolution")]
    #[doc(alias = "ResolveNow")]
    pub fn refresh(&self) {
        self.state.hint();
    }

    /// The last good set of each source that has one, for [another process](crate::Driver::begin_with) to begin with. Leaves
    /// out sets that have [expired](SourceStatus::expired). O(sources).
    pub fn last_sets(&self) -> Vec<LastSet> {
        self.state.last_sets(&self.sources)
    }

    /// The status of every source at this moment. O(sources).
    pub fn status(&self) -> DriverStatus {
        self.state.status()
    }
}
