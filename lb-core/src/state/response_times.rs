//! The averages of a backend's response times as nginx's `least_time` keeps them.
//!
//! Whole milliseconds of attempts that did not fail, one twentieth of each new sample, rounded
//! (`ngx_stream_upstream_least_time_module.c`). They do not decay. Instead the expected time of a backend that was not
//! picked for long (that rests) is halved again and again, until it is picked. Rests are counted in whole seconds of the
//! caller's clock.

use super::expectation::{Expectation, Measure};
use super::in_flight_ages::InFlightAges;
use crate::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::time::Timestamp;

/// Averages are rounded up to multiples of this many milliseconds, and to the limit at the most.
const STEP: u64 = 20;
const LIMIT: u64 = 5000;
/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// The response times of one backend. Exists once a policy has asked for it.
///
/// Each word agrees with itself and publishes nothing else, so all accesses are relaxed.
#[derive(Debug)]
pub(crate) struct ResponseTimes {
    /// In milliseconds, by [`Measure`]. 0 stands for "no sample yet", and for less than a millisecond.
    averages: [AtomicU32; 3],
    /// The average age of the attempts in flight, as picks found it.
    in_flight_average: AtomicU32,
    pub(crate) in_flight: InFlightAges,
    /// nginx's `checked`: the second since which the backend rests, plus 1. 0 before its first pick.
    checked_at: AtomicU64,
    /// The [`Expectation`] of the policy that asked last.
    expectation: AtomicU8,
}

impl ResponseTimes {
    pub(crate) fn new(expectation: Expectation) -> Self {
        Self {
            averages: [0, 1, 2].map(|_| AtomicU32::new(0)),
            in_flight_average: AtomicU32::new(0),
            in_flight: InFlightAges::new(),
            checked_at: AtomicU64::new(0),
            expectation: AtomicU8::new(expectation.word()),
        }
    }

    pub(crate) fn set_expectation(&self, expectation: Expectation) {
        let word = expectation.word();
        if self.expectation.load(Relaxed) != word {
            self.expectation.store(word, Relaxed);
        }
    }

    pub(crate) fn expectation(&self) -> Expectation {
        Expectation::from_word(self.expectation.load(Relaxed))
    }

    /// Counts a sample, in milliseconds.
    pub(crate) fn add(&self, measure: Measure, sample: u32) {
        let counted = |average| Some(averaged(average, sample));
        // The closure always returns a value.
        let _ = self.averages[measure as usize].fetch_update(Relaxed, Relaxed, counted);
    }

    /// Counts a pick, which ends a rest longer than `fail_timeout`, in nanoseconds.
    pub(crate) fn picked(&self, fail_timeout: u64, now: Timestamp) {
        if self.rest(now) > fail_timeout / SECOND {
            self.failed(now);
        }
    }

    /// Counts a failed connection, which starts a rest.
    pub(crate) fn failed(&self, now: Timestamp) {
        self.checked_at.store(second(now) + 1, Relaxed);
    }

    /// Averages the mean age of the attempts in flight, if there are any.
    pub(crate) fn note_in_flight(&self, now: Timestamp) {
        if let Some(age) = self.in_flight.mean(now) {
            let counted = |average| Some(averaged(average, age));
            // The closure always returns a value.
            let _ = self
                .in_flight_average
                .fetch_update(Relaxed, Relaxed, counted);
        }
    }

    /// The milliseconds that a connection is expected to take at `now`, without a look at those in flight: the average, halved
    /// for every `fail_timeout`, in nanoseconds, and a second that the backend has rested, and from there to the next full
    /// [`STEP`].
    #[inline]
    pub(crate) fn expected_millis(
        &self,
        measure: Measure,
        fail_timeout: impl FnOnce() -> u64,
        now: Timestamp,
    ) -> u64 {
        stepped(self.halved(measure, fail_timeout, now))
    }

    /// The same, or the age of the attempts in flight if that is more.
    ///
    /// `is_noted` is whether [`note_in_flight`](Self::note_in_flight) was called for this pick.
    pub(crate) fn expected_millis_by_age(
        &self,
        measure: Measure,
        fail_timeout: u64,
        now: Timestamp,
        is_noted: bool,
    ) -> u64 {
        let mut expected = self.halved(measure, || fail_timeout, now);
        if let Some(age) = self.in_flight.mean(now) {
            let noted = self.in_flight_average.load(Relaxed);
            expected = expected.max(if is_noted {
                noted
            } else {
                averaged(noted, age)
            });
        }
        stepped(expected)
    }

    #[inline]
    fn halved(&self, measure: Measure, fail_timeout: impl FnOnce() -> u64, now: Timestamp) -> u32 {
        let average = self.averages[measure as usize].load(Relaxed);
        if average == 0 {
            return 0;
        }
        let (rest, period) = (self.rest(now), fail_timeout() / SECOND + 1);
        // Spares most backends the division.
        if rest < period {
            return average;
        }
        let halvings = u32::try_from(rest / period).unwrap_or(u32::MAX);
        average.checked_shr(halvings).unwrap_or(0)
    }

    /// The whole seconds that the backend has rested; before its first pick, since ever.
    #[inline]
    fn rest(&self, now: Timestamp) -> u64 {
        match self.checked_at.load(Relaxed) {
            0 => u64::MAX,
            checked => second(now).saturating_sub(checked - 1),
        }
    }

    /// All that an update must not change.
    #[cfg(feature = "test-util")]
    pub(crate) fn remembered(&self) -> String {
        let Self {
            averages,
            in_flight_average,
            in_flight,
            checked_at,
            expectation: _,
        } = self;
        format!("{averages:?} {in_flight_average:?} {in_flight:?} {checked_at:?}")
    }
}

/// The next multiple of [`STEP`] above, at most [`LIMIT`] and one more step.
#[inline]
fn stepped(millis: u32) -> u64 {
    match u64::from(millis) {
        // The common case needs no division.
        0..STEP => STEP,
        millis @ ..=LIMIT => millis + STEP - millis % STEP,
        _ => LIMIT,
    }
}

const fn second(now: Timestamp) -> u64 {
    now.as_nanos() / SECOND
}

/// 0.95 of the average and 0.05 of the sample, in integers.
fn averaged(average: u32, sample: u32) -> u32 {
    match average {
        0 => sample,
        _ => ((19 * u64::from(average) + u64::from(sample) + 10) / 20) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_SECONDS: u64 = 10 * SECOND;
    const CONNECT: Expectation = Expectation {
        measure: Measure::Connect,
        in_flight: false,
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * SECOND)
    }

    /// Of a backend that was picked at 100 s.
    fn after(samples: &[u32]) -> ResponseTimes {
        let times = ResponseTimes::new(CONNECT);
        times.picked(TEN_SECONDS, at(100));
        for &millis in samples {
            times.add(Measure::Connect, millis);
        }
        times
    }

    #[test]
    fn a_twentieth_of_each_sample_counts_rounded() {
        let millis = |samples: &[u32]| after(samples).averages[0].load(Relaxed);
        assert_eq!(millis(&[100]), 100);
        assert_eq!(millis(&[100, 200]), 105);
        assert_eq!(millis(&[100, 1]), 95);
        assert_eq!(
            millis(&[10, 1]),
            10,
            "a change that is rounded off never counts"
        );
        assert_eq!(millis(&[0, 300]), 300, "an average of zero is replaced");
        assert_eq!(millis(&[u32::MAX, u32::MAX]), u32::MAX);
    }

    #[test]
    fn expected_times_are_multiples_of_the_step_up_to_the_limit() {
        let expected =
            |millis| after(&[millis]).expected_millis(Measure::Connect, || TEN_SECONDS, at(100));
        assert_eq!([0, 19, 20, 39, 40].map(expected), [20, 20, 40, 40, 60]);
        assert_eq!(
            [4999, 5000, 5001, 90_000].map(expected),
            [5000, 5020, 5000, 5000]
        );
    }

    #[test]
    fn a_rest_halves_the_average_until_a_pick() {
        let times = after(&[4990]);
        let expected =
            |seconds| times.expected_millis(Measure::Connect, || TEN_SECONDS, at(seconds));
        assert_eq!(
            [100, 110, 111, 122, 133].map(expected),
            [5000, 5000, 2500, 1260, 640]
        );
        assert_eq!(expected(100_000), 20);
        assert_eq!(expected(1), 5000, "time ran backwards");
        times.picked(TEN_SECONDS, at(105));
        assert_eq!(
            expected(111),
            2500,
            "a pick within the time-out changes nothing"
        );
        times.picked(TEN_SECONDS, at(122));
        assert_eq!(expected(122), 5000);
        times.failed(at(130));
        assert_eq!(expected(140), 5000);
    }

    #[test]
    fn the_longest_fail_timeout_never_halves() {
        let times = after(&[70]);
        let end = Timestamp::from_nanos(u64::MAX);
        assert_eq!(
            times.expected_millis(Measure::Connect, || u64::MAX, end),
            80
        );
    }

    /// With the counts of its `Arc` and the pointer of the picker: the 64 bytes that `LeastTime` documents.
    #[cfg(not(loom))]
    #[test]
    fn response_times_are_five_words() {
        assert_eq!(size_of::<ResponseTimes>(), 40);
    }

    #[test]
    fn attempts_in_flight_count_with_their_average_age() {
        let times = after(&[30]);
        times.in_flight.begin(at(100));
        let expected =
            |now, noted| times.expected_millis_by_age(Measure::Connect, TEN_SECONDS, now, noted);
        assert_eq!(expected(at(100), false), 40);
        assert_eq!(expected(at(102), false), 2020, "as a dry run finds it");
        times.note_in_flight(at(102));
        assert_eq!(expected(at(102), true), 2020);
        times.note_in_flight(at(104));
        assert_eq!(expected(at(104), true), 2120, "0.95 * 2000 + 0.05 * 4000");
        times.in_flight.end(at(100));
        assert_eq!(expected(at(104), true), 40);
    }
}
