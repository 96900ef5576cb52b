//! Counts of ended sessions, by reason.

use super::live_counts::LiveCounts;
use crate::close_reason::CloseReason;

const REASONS: usize = CloseReason::ALL.len();

/// How many sessions ended, by [reason](CloseReason).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EndCounts(pub(super) [u64; REASONS]);

/// A map from names to counts.
#[cfg(feature = "serde")]
impl serde::Serialize for EndCounts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl EndCounts {
    /// How many ended for `reason`.
    pub const fn get(&self, reason: CloseReason) -> u64 {
        self.0[reason as usize]
    }

    /// How many ended, for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (CloseReason, u64)> {
        CloseReason::ALL.iter().copied().zip(self.0)
    }
}

impl Default for EndCounts {
    fn default() -> Self {
        Self([0; REASONS])
    }
}

/// The live counts of one worker.
pub(super) type LiveEndCounts = LiveCounts<REASONS>;
