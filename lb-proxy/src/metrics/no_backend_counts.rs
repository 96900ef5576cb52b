//! Counts of sessions that found no backend, by cause.

use super::live_counts::LiveCounts;
use crate::no_backend_cause::NoBackendCause;

const CAUSES: usize = NoBackendCause::ALL.len();

/// How many sessions ended because they found no backend, by [cause](NoBackendCause). The total is the number of ends for
/// [`CloseReason::NoBackend`](crate::events::CloseReason::NoBackend).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NoBackendCounts(pub(super) [u64; CAUSES]);

/// A map from names to counts.
#[cfg(feature = "serde")]
impl serde::Serialize for NoBackendCounts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

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
pub(super) type LiveNoBackendCounts = LiveCounts<CAUSES>;
