//! The average of connect times as nginx's `least_time` keeps it.
//!
//! Whole milliseconds of established connections only, one twentieth of each new sample, rounded
//! (`ngx_stream_upstream_least_time_module.c`). It does not decay. Instead the expected time of a backend that was not
//! picked for long (that rests) is halved again and again, until it is picked.

use std::time::Duration;

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::time::Timestamp;

/// Averages are rounded up to multiples of this many milliseconds, and to the limit at the most.
const STEP: u64 = 20;
const LIMIT: u64 = 5000;
/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// Two words: the average, and since when the backend rests.
#[derive(Debug)]
pub(crate) struct ConnectAverage {
    /// 0 stands for "no sample yet", and for less than a millisecond.
    millis: AtomicU32,
    /// nginx's `checked`.
    checked_at: AtomicU64,
}

impl ConnectAverage {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            millis: AtomicU32::new(0),
            checked_at: AtomicU64::new(now.as_nanos()),
        }
    }

    /// Counts a sample: 0.95 of the average and 0.05 of the sample, in integers.
    pub(crate) fn add(&self, sample: Duration) {
        let sample = u32::try_from(sample.as_millis()).unwrap_or(u32::MAX);
        let counted = |average: u32| {
            Some(match average {
                0 => sample,
                _ => ((19 * u64::from(average) + u64::from(sample) + 10) / 20) as u32,
            })
        };
        // The closure always returns a value.
        let _ = self.millis.fetch_update(Relaxed, Relaxed, counted);
    }

    /// Counts a pick, which ends a rest longer than `fail_timeout`, in nanoseconds.
    pub(crate) fn picked(&self, fail_timeout: u64, now: Timestamp) {
        if self.rest(now) > fail_timeout {
            self.failed(now);
        }
    }

    /// Counts a failed connection, which starts a rest.
    pub(crate) fn failed(&self, now: Timestamp) {
        self.checked_at.store(now.as_nanos(), Relaxed);
    }

    /// The milliseconds that a connection is expected to take at `now`: the next full [`STEP`] above the average,
    /// halved for every `fail_timeout`, in nanoseconds, and a second that the backend has rested.
    #[inline]
    pub(crate) fn expected_millis(&self, fail_timeout: u64, now: Timestamp) -> u64 {
        let average = u64::from(self.millis.load(Relaxed));
        let expected = if average > LIMIT {
            LIMIT
        } else {
            average + STEP - average % STEP
        };
        let halving = fail_timeout.saturating_add(SECOND);
        let rest = self.rest(now);
        if rest < halving {
            return expected;
        }
        let halvings = u32::try_from(rest / halving).unwrap_or(u32::MAX);
        expected.checked_shr(halvings).unwrap_or(0)
    }

    #[inline]
    fn rest(&self, now: Timestamp) -> u64 {
        now.as_nanos().saturating_sub(self.checked_at.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_SECONDS: u64 = 10 * SECOND;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn after(samples: &[u64]) -> ConnectAverage {
        let average = ConnectAverage::new(at(100));
        for &millis in samples {
            average.add(Duration::from_millis(millis));
        }
        average
    }

    #[test]
    fn a_twentieth_of_each_sample_counts_rounded() {
        let millis = |samples: &[u64]| after(samples).millis.load(Relaxed);
        assert_eq!(millis(&[100]), 100);
        assert_eq!(millis(&[100, 200]), 105);
        assert_eq!(millis(&[100, 1]), 95);
        assert_eq!(
            millis(&[10, 1]),
            10,
            "a change that is rounded off never counts"
        );
        assert_eq!(millis(&[0, 300]), 300, "an average of zero is replaced");
        assert_eq!(millis(&[u64::MAX, u64::MAX]), u32::MAX);
    }

    #[test]
    fn expected_times_are_multiples_of_the_step_up_to_the_limit() {
        let expected = |millis| after(&[millis]).expected_millis(TEN_SECONDS, at(100));
        assert_eq!([0, 19, 20, 39, 40].map(expected), [20, 20, 40, 40, 60]);
        assert_eq!(
            [4999, 5000, 5001, 90_000].map(expected),
            [5000, 5020, 5000, 5000]
        );
    }

    #[test]
    fn a_rest_halves_the_expected_time_until_a_pick() {
        let average = after(&[4990]);
        let expected = |seconds| average.expected_millis(TEN_SECONDS, at(seconds));
        assert_eq!(
            [100, 110, 111, 122, 133].map(expected),
            [5000, 5000, 2500, 1250, 625]
        );
        assert_eq!(expected(100_000), 0);
        assert_eq!(expected(1), 5000, "time ran backwards");
        average.picked(TEN_SECONDS, at(105));
        assert_eq!(
            expected(111),
            2500,
            "a pick within the time-out changes nothing"
        );
        average.picked(TEN_SECONDS, at(122));
        assert_eq!(expected(122), 5000);
        average.failed(at(130));
        assert_eq!(expected(140), 5000);
    }

    #[test]
    fn the_longest_fail_timeout_never_halves() {
        let average = after(&[70]);
        let end = Timestamp::from_nanos(u64::MAX);
        assert_eq!(average.expected_millis(u64::MAX, end), 80);
    }
}
