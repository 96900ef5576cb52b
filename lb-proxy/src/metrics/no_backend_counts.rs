//! How many sessions found no backend, by cause.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::no_backend_cause::NoBackendCause;

const CAUSES: usize = NoBackendCause::ALL.len();

/// How many sessions ended because they found no backend, by [cause](NoBackendCause). The total is the number of ends for
/// [`CloseReason::NoBackend`](crate::events::CloseReason::NoBackend).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NoBackendCounts([u64; CAUSES]);

impl NoBackendCounts {
    /// How many ended for `cause`.
    pub const fn get(&self, cause: NoBackendCause) -> u64 {
        self.0[cause as usize]
    }

    /// How many ended, for any cause.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every cause with its count.
    pub fn iter(&self) -> impl Iterator<Item = (NoBackendCause, u64)> {
        NoBackendCause::ALL.iter().copied().zip(self.0)
    }
}

/// The live counts of one worker.
#[derive(Debug, Default)]
pub(super) struct LiveNoBackendCounts([AtomicU64; CAUSES]);

impl LiveNoBackendCounts {
    pub(super) fn increment(&self, cause: NoBackendCause) {
        self.0[cause as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn add_to(&self, sum: &mut NoBackendCounts) {
        for (sum, count) in sum.0.iter_mut().zip(&self.0) {
            *sum += count.load(Relaxed);
        }
    }
}
