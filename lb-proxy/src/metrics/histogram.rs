//! Histograms of times, with fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The buckets of times to connect, in microseconds: from a neighbour in the rack to a connect that the kernel repeats.
pub(super) const CONNECT_TIME: [u64; 13] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000,
];

/// The buckets of session lengths, in microseconds: from one request to a day.
pub(super) const SESSION_LENGTH: [u64; 12] = [
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    60_000_000,
    300_000_000,
    1_800_000_000,
    3_600_000_000,
    14_400_000_000,
    43_200_000_000,
    86_400_000_000,
];

/// The buckets of waits in a queue, in microseconds.
pub(super) const QUEUE_WAIT: [u64; 9] = [
    1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 30_000_000,
];

/// A histogram of times.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Histogram {
    /// The upper bounds of the buckets in seconds, ascending. The last one is infinity.
    pub bounds: Vec<f64>,
    /// How many times each bucket has, those of the buckets before not included.
    pub counts: Vec<u64>,
    /// The sum of all times in seconds.
    pub sum: f64,
}

impl Histogram {
    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// A live histogram: one relaxed addition to a bucket and one to the sum.
#[derive(Debug)]
pub(super) struct LiveHistogram<const N: usize> {
    bounds: &'static [u64; N],
    counts: [AtomicU64; N],
    above: AtomicU64,
    micros: AtomicU64,
}

impl<const N: usize> LiveHistogram<N> {
    pub(super) const fn new(bounds: &'static [u64; N]) -> Self {
        Self {
            bounds,
            counts: [const { AtomicU64::new(0) }; N],
            above: AtomicU64::new(0),
            micros: AtomicU64::new(0),
        }
    }

    pub(super) fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|&bound| bound < micros);
        let count = self.counts.get(bucket).unwrap_or(&self.above);
        count.fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    pub(super) fn add_to(&self, sum: &mut Histogram) {
        if sum.bounds.is_empty() {
            let seconds = |&micros: &u64| Duration::from_micros(micros).as_secs_f64();
            sum.bounds = self.bounds.iter().map(seconds).collect();
            sum.bounds.push(f64::INFINITY);
            sum.counts = vec![0; N + 1];
        }
        let counts = self.counts.iter().chain([&self.above]);
        for (sum, count) in sum.counts.iter_mut().zip(counts) {
            *sum += count.load(Relaxed);
        }
        sum.sum += Duration::from_micros(self.micros.load(Relaxed)).as_secs_f64();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let live = LiveHistogram::new(&CONNECT_TIME);
        for micros in [0, 100, 101, 5_000_000, 5_000_001] {
            live.record(Duration::from_micros(micros));
        }
        let mut read = Histogram::default();
        live.add_to(&mut read);
        let filled = read.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        let filled: Vec<_> = filled.map(|(i, n)| (i, *n)).collect();
        assert_eq!(filled, [(0, 2), (1, 1), (12, 1), (13, 1)]);
        assert_eq!(read.count(), 5);
        assert!((read.sum - 10.000_202).abs() < 1e-9, "{}", read.sum);
        assert_eq!((read.bounds[0], read.bounds[13]), (0.0001, f64::INFINITY));
    }

    #[test]
    fn buckets_ascend() {
        let all: [&[u64]; 3] = [&CONNECT_TIME, &SESSION_LENGTH, &QUEUE_WAIT];
        assert!(all.iter().all(|bounds| bounds.is_sorted()));
    }
}
