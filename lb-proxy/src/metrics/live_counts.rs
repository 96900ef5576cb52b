//! Counters of one worker, by a number.

use super::counter::EndCounter;

/// Counters of one worker, one for each value of an enum that says how something ended.
#[derive(Debug)]
pub(super) struct LiveCounts<const N: usize>([EndCounter; N]);

impl<const N: usize> LiveCounts<N> {
    pub(super) fn increment(&self, at: usize) {
        self.0[at].increment();
    }

    /// Adds the counts to `sum`. Before the begins are read: see [`EndCounter`].
    pub(super) fn add_to(&self, sum: &mut [u64; N]) {
        for (sum, count) in sum.iter_mut().zip(&self.0) {
            *sum += count.get();
        }
    }
}

impl<const N: usize> Default for LiveCounts<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| EndCounter::default()))
    }
}
