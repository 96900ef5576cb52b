//! How often the standing of a backend changed.

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
    /// that it stands for.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Acquire)
    }

    /// Called after the change is stored.
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Release);
    }
}
