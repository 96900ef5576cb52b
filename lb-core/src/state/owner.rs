//! Reports of a backend's state to the balancer that it belongs to.

use std::fmt::Debug;

use super::attempt_failure::AttemptFailure;
use super::backend_state::BackendState;
use crate::time::Timestamp;

/// The balancer, as the states of its backends see it. Called when something happens, not at each pick.
pub(crate) trait Owner: Debug + Send + Sync {
    /// A backend was ejected, readmitted, or found healthy or unhealthy: tier health has to be recomputed.
    fn standing_changed(&self);

    /// Counts a failure of the backend with `state` for outlier detection. True if that ejects it.
    fn detect_outlier(&self, state: &BackendState, failure: AttemptFailure, now: Timestamp)
    -> bool;

    /// Takes the answer of a suspect backend: it ends an outage of the path to all backends, and then their ejections.
    /// Called before the answer changes `state`.
    fn answered(&self, state: &BackendState, now: Timestamp);

    /// Whether a failure without an answer does not count, because its attempt of `picked_at` belongs to an outage that is
    /// known, of which the backend with `state` bears no blame.
    fn excuses(&self, state: &BackendState, picked_at: Timestamp, now: Timestamp) -> bool;
}
