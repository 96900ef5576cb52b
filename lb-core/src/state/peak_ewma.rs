//! A decaying peak (peak EWMA) of durations in one atomic word.
//!
//! A sample above the average replaces it at once. Samples below lower it with a time constant. Without samples it decays
//! towards zero the same way, so a backend that was slow long ago is tried again (Finagle's `PeakEwma`). A read never
//! writes: it computes the decay for its moment.

use std::time::Duration;

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::time::Timestamp;

/// The time constant of the decay: after it, a quiet average has fallen to 37 %. Linkerd's and Envoy's value.
const DECAY: Duration = Duration::from_secs(10);

/// Stands for "no sample yet".
const EMPTY: u64 = u64::MAX;

/// The average of durations.
///
/// The upper half of the word is the value in nanoseconds as a 32-bit float, the lower the moment of the last sample
/// in milliseconds, which wraps after 49 days: the average of a backend without samples for longer may seem fresher than
/// it is.
#[derive(Debug)]
pub(crate) struct PeakEwma(AtomicU64);

impl PeakEwma {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(EMPTY))
    }

    /// The average at `now`, or `None` without a sample. One load, and one exponential function.
    pub(crate) fn get_at(&self, now: Timestamp) -> Option<Duration> {
        let value = decayed(self.0.load(Relaxed), now)?;
        Some(Duration::from_nanos(value as u64))
    }

    /// Counts a sample taken at `now`.
    pub(crate) fn add(&self, sample: Duration, now: Timestamp) {
        let sample = sample.as_nanos() as f32;
        let counted = |word| {
            let value = match average(word) {
                Some((value, since)) if sample < value => {
                    let kept = kept(since, now);
                    sample.mul_add(1.0 - kept, value * kept)
                }
                _ => sample,
            };
            Some(packed(value, now))
        };
        // The closure always returns a word.
        let _ = self.0.fetch_update(Relaxed, Relaxed, counted);
    }
}

fn packed(value: f32, now: Timestamp) -> u64 {
    u64::from(value.to_bits()) << 32 | u64::from(millis(now))
}

fn average(word: u64) -> Option<(f32, u32)> {
    let value = f32::from_bits((word >> 32) as u32);
    (word != EMPTY).then_some((value, word as u32))
}

fn decayed(word: u64, now: Timestamp) -> Option<f32> {
    let (value, since) = average(word)?;
    Some(value * kept(since, now))
}

/// The part of the average that is left after the time since its last sample.
fn kept(since: u32, now: Timestamp) -> f32 {
    // Threads may report out of order: a sample of a later moment counts as one of now.
    let elapsed = millis(now).wrapping_sub(since) as i32;
    let elapsed = elapsed.max(0) as f32;
    (-elapsed / DECAY.as_millis() as f32).exp()
}

fn millis(now: Timestamp) -> u32 {
    (now.as_nanos() / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    const MS: Duration = Duration::from_millis(1);

    fn assert_near(found: Option<Duration>, expected: Duration) {
        let found = found.unwrap();
        let apart = found.abs_diff(expected);
        assert!(apart <= expected / 1000, "{found:?}, not {expected:?}");
    }

    #[test]
    fn peaks_count_at_once_and_decay_slowly() {
        let ewma = PeakEwma::new();
        assert_eq!(ewma.get_at(at(0)), None);
        ewma.add(MS, at(0));
        ewma.add(100 * MS, at(10));
        assert_near(ewma.get_at(at(10)), 100 * MS);
        assert_near(ewma.get_at(at(10_010)), Duration::from_micros(36_788));
        // 100 ms decayed for 10 s, plus 1 ms times the part that decayed.
        ewma.add(MS, at(10_010));
        assert_near(ewma.get_at(at(10_010)), Duration::from_micros(37_420));
    }

    #[test]
    fn a_read_changes_nothing_and_time_may_run_backwards() {
        let ewma = PeakEwma::new();
        ewma.add(50 * MS, at(5_000));
        assert_near(ewma.get_at(at(1_000)), 50 * MS);
        assert_near(ewma.get_at(at(5_000)), 50 * MS);
    }

    #[test]
    fn extreme_samples_stay_in_range() {
        let ewma = PeakEwma::new();
        ewma.add(Duration::MAX, at(0));
        assert!(ewma.get_at(at(0)).is_some());
        ewma.add(Duration::ZERO, at(u64::from(u32::MAX) + 7));
        assert!(ewma.get_at(at(u64::from(u32::MAX) + 7)).is_some());
    }
}
