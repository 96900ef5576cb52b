//! Counters of one worker, by a number.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one worker, one for each value of an enum.
#[derive(Debug)]
pub(super) struct LiveCounts<const N: usize>([AtomicU64; N]);

impl<const N: usize> LiveCounts<N> {
    pub(super) fn increment(&self, at: usize) {
        self.0[at].fetch_add(1, Relaxed);
    }

    pub(super) fn add_to(&self, sum: &mut [u64; N]) {
        for (sum, count) in sum.iter_mut().zip(&self.0) {
            *sum += count.load(Relaxed);
        }
    }
}

impl<const N: usize> Default for LiveCounts<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}
