//! The ejections of one backend as an outlier.

use std::time::Duration;

use super::OutlierDetection;
use crate::hash::mix;
use crate::state::attempt_failure::{AttemptFailure, Ejection};
use crate::state::memory::EjectionMemory;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::time::{TimeOffset, Timestamp};

/// What outlier detection remembers of one backend.
#[derive(Debug)]
pub(crate) struct OutlierRecord {
    /// 48 bits for the end of the last ejection, in units of 2^16 ns, rounded up; one for a connection that has succeeded
    /// since; one for a cause that may be the path; 14 for the number of ejections.
    ejection: AtomicU64,
    /// Failures since the last success; the top bit is set if one of them was answered.
    streak: AtomicU32,
}

/// Never ejected.
const CLEAN: u64 = 0;
/// A connection has succeeded since the last ejection ended.
const OVER: u64 = 1 << 15;
/// No failure that led to the last ejection was answered.
const UNANSWERED: u64 = 1 << 14;
/// The largest number of ejections.
const MOST: u16 = (1 << 14) - 1;
/// A failure of the streak was answered.
const ANSWERED_STREAK: u32 = 1 << 31;

impl OutlierRecord {
    pub(crate) fn new() -> Self {
        Self {
            streak: AtomicU32::new(0),
            ejection: AtomicU64::new(CLEAN),
        }
    }

    /// Whether the backend was never ejected, or a connection has succeeded since.
    pub(crate) fn is_clean(&self) -> bool {
        let word = self.ejection.load(Relaxed);
        word == CLEAN || word & OVER != 0
    }

    /// When the ejection ends, if the backend is ejected at `now`.
    pub(crate) fn ejected_until(&self, now: Timestamp) -> Option<Timestamp> {
        ejected_until(self.ejection.load(Relaxed), now)
    }

    /// When the last ejection ended, if there was one that ended by `now`.
    pub(crate) fn returned_at(&self, now: Timestamp) -> Option<Timestamp> {
        let (until, times) = unpacked(self.ejection.load(Relaxed));
        (times > 0 && until <= now).then_some(until)
    }

    /// Failures since the last success.
    pub(crate) fn streak(&self) -> u32 {
        self.streak.load(Relaxed) & !ANSWERED_STREAK
    }

    /// What is to be remembered of the ejections at `now`, if there were any.
    pub(crate) fn memory(&self, now: Timestamp) -> Option<EjectionMemory> {
        let word = self.ejection.load(Relaxed);
        let (until, times) = unpacked(word);
        (times > 0).then(|| {
            let until = TimeOffset::between(until, now);
            EjectionMemory::new(times, until, word & OVER != 0)
        })
    }

    /// Takes what was remembered, as if it had been answered.
    pub(crate) fn recall(&self, streak: u32, memory: Option<EjectionMemory>, now: Timestamp) {
        let answered = if streak > 0 { ANSWERED_STREAK } else { 0 };
        self.streak
            .store(streak & !ANSWERED_STREAK | answered, Relaxed);
        if let Some(memory) = memory.filter(|memory| memory.count > 0) {
            let over = if memory.over { OVER } else { 0 };
            let word = packed(memory.until.from(now), memory.count.min(MOST));
            self.ejection.store(word | over, Relaxed);
        }
    }

    /// Counts a failure. True if there are enough in a row to eject the backend.
    pub(crate) fn failed(&self, detection: &OutlierDetection, failure: AttemptFailure) -> bool {
        let counted = |streak: u32| {
            let answered = match failure {
                AttemptFailure::Answered => ANSWERED_STREAK,
                AttemptFailure::Unanswered => streak & ANSWERED_STREAK,
            };
            let failures = (streak & !ANSWERED_STREAK) + 1;
            failures.min(ANSWERED_STREAK - 1) | answered
        };
        // The closure always returns a word.
        let before = self
            .streak
            .fetch_update(Relaxed, Relaxed, |streak| Some(counted(streak)));
        let failures = counted(before.unwrap_or(0)) & !ANSWERED_STREAK;
        failures
            >= detection
                .consecutive_failures
                .get()
                .min(ANSWERED_STREAK - 1)
    }

    /// The ejection at `now`, if there is one. It began up to [`max_jitter`](field@OutlierDetection::max_jitter) before
    /// its `since`, and at another moment if the settings have changed.
    pub(crate) fn ejection(
        &self,
        detection: &OutlierDetection,
        now: Timestamp,
    ) -> Option<Ejection> {
        ejection(self.ejection.load(Relaxed), detection, now)
    }

    /// Ends an ejection if no failure that led to it was answered, and it began at `since` or later, as far as `detection`
    /// tells: the next one is as long as if it had not been. Forgets such failures. True if there was an ejection.
    pub(crate) fn forgive(
        &self,
        detection: Option<&OutlierDetection>,
        since: Timestamp,
        now: Timestamp,
    ) -> bool {
        let unanswered = |streak| (streak & ANSWERED_STREAK == 0).then_some(0);
        // The closure returns nothing where a failure was answered.
        let _ = self.streak.fetch_update(Relaxed, Relaxed, unanswered);
        let forgiven = |word| {
            let is_late = detection
                .and_then(|detection| ejection(word, detection, now))
                .is_none_or(|ejection| ejection.since >= since);
            let is_forgiven =
                ejected_until(word, now).is_some() && word & UNANSWERED != 0 && is_late;
            let before = u64::from(unpacked(word).1.saturating_sub(1));
            is_forgiven.then_some(match before {
                0 => CLEAN,
                // Rounded down, so the ejection is over at once.
                before => now.as_nanos() >> 16 << 16 | OVER | before,
            })
        };
        self.ejection
            .fetch_update(Relaxed, Relaxed, forgiven)
            .is_ok()
    }

    /// Counts a success. True if it is the first since an ejection ended.
    pub(crate) fn succeeded(&self, now: Timestamp) -> bool {
        if self.streak.load(Relaxed) != 0 {
            self.streak.store(0, Relaxed);
        }
        let over = |word| {
            let ended = word & OVER == 0 && unpacked(word).0 <= now;
            (word != CLEAN && ended).then_some(word | OVER)
        };
        !self.is_clean() && self.ejection.fetch_update(Relaxed, Relaxed, over).is_ok()
    }

    /// Ends an ejection, as an active check may. True if there was one.
    pub(crate) fn readmit(&self, now: Timestamp) -> bool {
        let ended = |word| {
            let (_, times) = unpacked(word);
            // Rounded down, so the ejection is over at once.
            ejected_until(word, now).map(|_| now.as_nanos() >> 16 << 16 | u64::from(times))
        };
        let ended = self.ejection.fetch_update(Relaxed, Relaxed, ended).is_ok();
        if ended {
            self.streak.store(0, Relaxed);
        }
        ended
    }

    /// Ejects the backend. `salt` makes its jitter differ from that of others. False if it is ejected already.
    pub(crate) fn eject(&self, detection: &OutlierDetection, salt: u64, now: Timestamp) -> bool {
        let streak = self.streak.swap(0, Relaxed);
        let cause = match streak > 0 && streak & ANSWERED_STREAK == 0 {
            true => UNANSWERED,
            false => 0,
        };
        let ejected = |word| {
            let (until, times) = unpacked(word);
            if ejected_until(word, now).is_some() {
                return None;
            }
            let good = now.saturating_since(until).as_nanos();
            let forgiven = good.checked_div(detection.interval.as_nanos());
            let forgiven = u16::try_from(forgiven.unwrap_or(0)).unwrap_or(u16::MAX);
            let times = times.saturating_sub(forgiven).saturating_add(1).min(MOST);
            let lasts =
                lasts(detection, times).saturating_add(jitter(detection.max_jitter, salt, now));
            Some(packed(now.saturating_add(lasts), times) | cause)
        };
        self.ejection
            .fetch_update(Relaxed, Relaxed, ejected)
            .is_ok()
    }
}

/// How long ejection number `times` lasts, jitter aside.
fn lasts(detection: &OutlierDetection, times: u16) -> Duration {
    let longest = detection.max_ejection.max(detection.base_ejection);
    let lasts = detection.base_ejection.saturating_mul(times.into());
    lasts.min(longest)
}

/// A part of `max` that differs between backends and moments.
fn jitter(max: Duration, salt: u64, now: Timestamp) -> Duration {
    let max = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX);
    let drawn = u128::from(mix(salt ^ mix(now.as_nanos()))) * (u128::from(max) + 1);
    Duration::from_nanos((drawn >> 64) as u64)
}

fn ejected_until(word: u64, now: Timestamp) -> Option<Timestamp> {
    let (until, _) = unpacked(word);
    (word & OVER == 0 && now < until).then_some(until)
}

fn ejection(word: u64, detection: &OutlierDetection, now: Timestamp) -> Option<Ejection> {
    let until = ejected_until(word, now)?;
    let (_, times) = unpacked(word);
    let lasts = u64::try_from(lasts(detection, times).as_nanos()).unwrap_or(u64::MAX);
    Some(Ejection {
        since: Timestamp::from_nanos(until.as_nanos().saturating_sub(lasts)).min(now),
        cause: if word & UNANSWERED == 0 {
            AttemptFailure::Answered
        } else {
            AttemptFailure::Unanswered
        },
    })
}

const fn packed(until: Timestamp, times: u16) -> u64 {
    let until = until.as_nanos().saturating_add((1 << 16) - 1) >> 16 << 16;
    until | times as u64
}

const fn unpacked(word: u64) -> (Timestamp, u16) {
    let times = word as u16 & MOST;
    (Timestamp::from_nanos(word >> 16 << 16), times)
}

#[cfg(test)]
mod tests {
    use super::AttemptFailure::{Answered, Unanswered};
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds << 30)
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_nanos(n << 30)
    }

    fn detection() -> OutlierDetection {
        OutlierDetection::default()
            .ejection(seconds(30), seconds(100))
            .interval(seconds(10))
    }

    #[test]
    fn five_failures_in_a_row_are_an_outlier() {
        let record = OutlierRecord::new();
        let failed: Vec<bool> = (0..5)
            .map(|_| record.failed(&detection(), Answered))
            .collect();
        assert_eq!(failed, [false, false, false, false, true]);
        record.succeeded(at(1));
        assert!(!record.failed(&detection(), Answered));
    }

    #[test]
    fn each_ejection_is_longer_up_to_the_longest() {
        let record = OutlierRecord::new();
        let mut now = at(1000);
        for expected in [30, 60, 90, 100, 100] {
            assert!(record.eject(&detection(), 0, now));
            assert!(!record.eject(&detection(), 0, now), "it is ejected already");
            let until = record.ejected_until(now).unwrap();
            assert_eq!(until.saturating_since(now), seconds(expected));
            now = until;
            assert_eq!(record.ejected_until(now), None);
        }
    }

    #[test]
    fn time_without_an_ejection_shortens_the_next() {
        let record = OutlierRecord::new();
        for start in [0, 100] {
            record.eject(&detection(), 0, at(start));
        }
        // The ejection at 100 was the first again, after 70 s without one.
        assert_eq!(record.ejected_until(at(101)), Some(at(130)));
        record.eject(&detection(), 0, at(135));
        assert_eq!(record.ejected_until(at(136)), Some(at(195)));
    }

    #[test]
    fn a_successful_check_ends_an_ejection() {
        let record = OutlierRecord::new();
        record.eject(&detection(), 0, at(100));
        assert!(record.readmit(at(110)));
        assert_eq!(record.ejected_until(at(110)), None);
        assert_eq!(record.returned_at(at(111)), Some(at(110)));
        assert!(!record.readmit(at(111)));
    }

    #[test]
    fn a_check_ends_an_ejection_at_once_at_any_moment() {
        let record = OutlierRecord::new();
        let now = Timestamp::from_nanos((1 << 40) + 12_345);
        record.eject(&detection(), 0, at(1000));
        assert!(record.readmit(now));
        assert_eq!(record.ejected_until(now), None);
        assert!(!record.readmit(now));
    }

    #[test]
    fn a_check_of_a_backend_that_is_not_ejected_keeps_its_streak() {
        let record = OutlierRecord::new();
        let failed: Vec<bool> = (0..5)
            .map(|_| {
                assert!(!record.readmit(at(100)));
                record.failed(&detection(), Answered)
            })
            .collect();
        assert_eq!(failed, [false, false, false, false, true]);
    }

    #[test]
    fn jitter_stays_below_its_limit_and_differs() {
        let detection = detection().max_jitter(seconds(10));
        let lasts = |salt| {
            let record = OutlierRecord::new();
            record.eject(&detection, salt, at(0));
            record.ejected_until(at(0)).unwrap()
        };
        let ends: std::collections::BTreeSet<_> = (0..100).map(lasts).collect();
        assert!(ends.len() > 90);
        assert!(ends.iter().all(|&end| at(30) <= end && end <= at(41)));
    }

    #[test]
    fn times_saturate() {
        let record = OutlierRecord::new();
        let end = Timestamp::from_nanos(u64::MAX);
        let never = OutlierDetection::default().interval(Duration::ZERO);
        assert!(record.eject(&never.ejection(Duration::MAX, Duration::MAX), 1, end));
        record.readmit(end);
    }

    #[test]
    fn an_ejection_without_an_answer_is_forgiven_without_a_trace() {
        let record = OutlierRecord::new();
        record.failed(&detection(), Unanswered);
        record.eject(&detection(), 0, at(100));
        let ejection = record.ejection(&detection(), at(101)).unwrap();
        assert_eq!((ejection.since, ejection.cause), (at(100), Unanswered));
        assert!(record.forgive(None, at(0), at(101)));
        assert!(record.is_clean() && !record.forgive(None, at(0), at(101)));
        assert_eq!(record.returned_at(at(102)), None);
        record.eject(&detection(), 0, at(102));
        assert_eq!(record.ejected_until(at(102)), Some(at(132)));
    }

    #[test]
    fn an_ejection_stays_if_a_failure_before_it_was_answered() {
        let record = OutlierRecord::new();
        for failure in [Unanswered, Answered, Unanswered] {
            record.failed(&detection(), failure);
        }
        assert!(!record.forgive(None, at(0), at(99)));
        record.eject(&detection(), 0, at(100));
        let ejection = record.ejection(&detection(), at(101)).unwrap();
        assert_eq!(ejection.cause, Answered);
        assert!(!record.forgive(None, at(0), at(101)));
        assert_eq!(record.ejected_until(at(101)), Some(at(130)));
    }

    #[test]
    fn forgiven_failures_do_not_count() {
        let record = OutlierRecord::new();
        for _ in 0..4 {
            assert!(!record.failed(&detection(), Unanswered));
        }
        record.forgive(None, at(0), at(100));
        assert!(!record.failed(&detection(), Unanswered));
    }
}
