//! What a backend's state reports to the balancer that it belongs to.

use std::fmt::Debug;

use super::backend_state::BackendState;
use crate::time::Timestamp;

/// The balancer, as the states of its backends see it. Called when something happens, not at each pick.
pub(crate) trait Owner: Debug + Send + Sync {
    /// A backend was ejected, readmitted, or found healthy or unhealthy: tier health has to be recomputed.
    fn standing_changed(&self);

    /// Counts a failure of the backend with `state` for outlier detection. True if that ejects it.
    fn detect_outlier(&self, state: &BackendState, now: Timestamp) -> bool;
}
