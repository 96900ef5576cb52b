//! A counter of the changes of backends' standing.

use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::{Acquire, Release};

/// Increases whenever a backend of the balancer is ejected, readmitted, or found healthy or unhealthy.
#[derive(Debug)]
pub(crate) struct Generation(AtomicU64);

impl Generation {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Acquire: pairs with the Release addition in `advance`. A thread that reads the new generation reads the change
    /// behind it. Models `a_thread_that_causes_a_panic_gets_a_backend_in_it` and
    /// `a_change_while_tier_health_is_recomputed_is_not_lost` fail without it.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Acquire)
    }

    /// Called after the change is stored.
    ///
    /// Release: pairs with the Acquire load in `get`. Model `a_backend_that_recovers_while_another_is_excluded_is_found`
    /// fails without it.
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Release);
    }
}
