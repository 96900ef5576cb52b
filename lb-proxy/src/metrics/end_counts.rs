//! Counts of ended sessions, by reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::close_reason::CloseReason;

const REASONS: usize = CloseReason::ALL.len();

/// How many sessions ended, by [reason](CloseReason).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EndCounts([u64; REASONS]);

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
#[derive(Debug)]
pub(super) struct LiveEndCounts([AtomicU64; REASONS]);

impl LiveEndCounts {
    pub(super) fn increment(&self, reason: CloseReason) {
        self.0[reason as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn add_to(&self, sum: &mut EndCounts) {
        for (sum, count) in sum.0.iter_mut().zip(&self.0) {
            *sum += count.load(Relaxed);
        }
    }
}

impl Default for LiveEndCounts {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; REASONS])
    }
}
