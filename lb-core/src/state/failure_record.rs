//! The fail limit: a backend that fails too often within a time is ejected.
//!
//! The meaning is nginx's `max_fails` and `fail_timeout` (`ngx_stream_upstream_round_robin.c`): a failure is a
//! connection that could not be established; after `max_fails` of them the backend is ejected for
//! `fail_timeout`, then gets a single connection as a trial. If the trial succeeds the failures are forgotten,
//! else the backend stays ejected for another `fail_timeout`. Failures below the limit are forgotten when a
//! connection succeeds that was picked more than `fail_timeout` after the last of them.
//!
//! Where nginx counts whole seconds, this counts in 66 microseconds.

use super::attempt_failure::{AttemptFailure, Ejection};
use super::memory::FailureMemory;
use crate::fail_limit::FailLimit;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::time::{TimeOffset, Timestamp};

/// The failures of one backend. A read costs one relaxed load.
///
/// One word, because its parts are right only together. In separate words, two failures reported at once could look
/// like a trial that a success may forgive; a success could erase the failure that came just before it; and a
/// reader could combine a new count with an old window and pick a backend that has just been ejected.
/// The word publishes nothing else, so its accesses are relaxed. `loom_models/words.rs` checks all this.
#[derive(Debug)]
pub(crate) struct FailureRecord(AtomicU64);

impl FailureRecord {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(FailureWindow::CLEAN))
    }

    /// Whether there is no failure to forgive.
    pub(crate) fn is_clean(&self) -> bool {
        self.0.load(Relaxed) == FailureWindow::CLEAN
    }

    pub(crate) fn fails(&self) -> u32 {
        self.load().fails
    }

    /// When the ejection ends, if the backend is ejected at `now`.
    pub(crate) fn ejected_until(&self, limit: FailLimit, now: Timestamp) -> Option<Timestamp> {
        self.load().ejected_until(limit, now)
    }

    /// The ejection at `now`, if there is one.
    pub(crate) fn ejection(&self, limit: FailLimit, now: Timestamp) -> Option<Ejection> {
        let record = self.load();
        record.ejected_until(limit, now).map(|_| Ejection {
            since: record.checked_at,
            cause: record.cause,
        })
    }

    /// Forgets the failures, if none of them was answered, and the last one happened at `since` or later. True if there were
    /// any.
    pub(crate) fn forgive(&self, since: Timestamp) -> bool {
        let forgiven = |word| {
            let record = FailureWindow::from_word(word);
            let is_unanswered = record.fails > 0 && record.cause == AttemptFailure::Unanswered;
            (is_unanswered && record.checked_at >= since).then_some(FailureWindow::CLEAN)
        };
        self.0.fetch_update(Relaxed, Relaxed, forgiven).is_ok()
    }

    /// Claims the right to connect at `now`. Of several threads that race for a trial, one succeeds.
    pub(crate) fn claim(&self, limit: FailLimit, now: Timestamp) -> bool {
        let record = self.load();
        if record.fails == 0 {
            return true;
        }
        let expired = now.saturating_since(record.checked_at) > limit.fail_timeout;
        let renewed = expired
            && self
                .0
                .compare_exchange(record.word(), record.renewed(now).word(), Relaxed, Relaxed)
                .is_ok();
        renewed || !record.reaches(limit)
    }

    /// Counts a failure. True if the count has reached the limit, which ejects the backend.
    pub(crate) fn failed(&self, limit: FailLimit, failure: AttemptFailure, now: Timestamp) -> bool {
        let counted = |word| Some(FailureWindow::from_word(word).failed(failure, now).word());
        // The closure always returns a word.
        let before = self.0.fetch_update(Relaxed, Relaxed, counted);
        let before = FailureWindow::from_word(before.unwrap_or(FailureWindow::CLEAN));
        before.failed(failure, now).reaches(limit)
    }

    /// Counts an established connection. True if it forgives the failures: those of a window that has passed, and all
    /// failures of a backend that has no limit any more (not `is_limited`).
    pub(crate) fn succeeded(&self, is_limited: bool) -> bool {
        let forgiven = |word| {
            let record = FailureWindow::from_word(word);
            (record.fails > 0 && (record.renewed || !is_limited)).then_some(FailureWindow::CLEAN)
        };
        self.0.fetch_update(Relaxed, Relaxed, forgiven).is_ok()
    }

    /// What is to be remembered at `now`, if there is something.
    pub(crate) fn memory(&self, now: Timestamp) -> Option<FailureMemory> {
        let record = self.load();
        (record.fails > 0).then(|| {
            let since = TimeOffset::between(record.checked_at, now);
            FailureMemory::new(record.fails, since, record.renewed)
        })
    }

    /// Takes what was remembered, as if it had been answered: a restart forgets the cause.
    pub(crate) fn recall(&self, memory: FailureMemory, now: Timestamp) {
        let window = FailureWindow {
            checked_at: rounded_up(memory.since.from(now)),
            renewed: memory.renewed,
            cause: AttemptFailure::Answered,
            fails: memory.count.min(MAX_FAILS),
        };
        if window.fails > 0 {
            self.0.store(window.word(), Relaxed);
        }
    }

    fn load(&self) -> FailureWindow {
        FailureWindow::from_word(self.0.load(Relaxed))
    }
}

/// The parts of a [`FailureRecord`]: from the top, 48 bits of time, one for a renewed window, one for their cause, 14
/// of failures.
#[derive(Clone, Copy, Debug)]
struct FailureWindow {
    /// When the current window began: at a failure, or at the pick of a trial; nginx's `checked`. In units of 2^16 ns,
    /// rounded up, so a window is at most 66 us too long and never too short.
    checked_at: Timestamp,
    /// Whether a connection was picked after the window had passed, so that its success forgives; nginx's
    /// `accessed < checked`.
    renewed: bool,
    /// `Unanswered` if all failures were.
    cause: AttemptFailure,
    /// At most [`MAX_FAILS`].
    fails: u32,
}

/// The largest count; a `max_fails` above it means this one.
const MAX_FAILS: u32 = (1 << 14) - 1;

const RENEWED: u64 = 1 << 15;
const UNANSWERED: u64 = 1 << 14;

impl FailureWindow {
    /// No failures.
    const CLEAN: u64 = 0;

    const fn from_word(word: u64) -> Self {
        Self {
            checked_at: Timestamp::from_nanos(word >> 16 << 16),
            renewed: word & RENEWED != 0,
            cause: if word & UNANSWERED == 0 {
                AttemptFailure::Answered
            } else {
                AttemptFailure::Unanswered
            },
            fails: word as u32 & MAX_FAILS,
        }
    }

    const fn word(self) -> u64 {
        let renewed = if self.renewed { RENEWED } else { 0 };
        let unanswered = match self.cause {
            AttemptFailure::Answered => 0,
            AttemptFailure::Unanswered => UNANSWERED,
        };
        self.checked_at.as_nanos() | renewed | unanswered | self.fails as u64
    }

    fn ejected_until(self, limit: FailLimit, now: Timestamp) -> Option<Timestamp> {
        if !self.reaches(limit) {
            return None;
        }
        let until = self.checked_at.saturating_add(limit.fail_timeout);
        (now <= until).then_some(until)
    }

    fn reaches(self, limit: FailLimit) -> bool {
        self.fails >= limit.max_fails.get().min(MAX_FAILS)
    }

    /// Threads may report out of order, so a window never moves back.
    fn failed(self, failure: AttemptFailure, now: Timestamp) -> Self {
        Self {
            checked_at: self.checked_at.max(rounded_up(now)),
            renewed: false,
            cause: if self.fails == 0 {
                failure
            } else {
                self.cause.and(failure)
            },
            fails: (self.fails + 1).min(MAX_FAILS),
        }
    }

    const fn renewed(self, now: Timestamp) -> Self {
        Self {
            checked_at: rounded_up(now),
            renewed: true,
            ..self
        }
    }
}

const fn rounded_up(now: Timestamp) -> Timestamp {
    Timestamp::from_nanos(now.as_nanos().saturating_add((1 << 16) - 1) >> 16 << 16)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::AttemptFailure::{Answered, Unanswered};
    use super::*;

    /// In seconds of 2^30 ns, a whole number of the units of the window.
    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds << 30)
    }

    fn limit(max_fails: u32) -> FailLimit {
        let fail_timeout = Duration::from_nanos(10 << 30);
        FailLimit::new(NonZeroU32::new(max_fails).unwrap(), fail_timeout)
    }

    #[test]
    fn one_failure_ejects_until_the_timeout_has_passed() {
        let record = FailureRecord::new();
        assert!(record.failed(limit(1), Answered, at(100)));
        assert_eq!(record.ejected_until(limit(1), at(105)), Some(at(110)));
        assert!(!record.claim(limit(1), at(110)));
        assert_eq!(record.ejected_until(limit(1), at(111)), None);
    }

    #[test]
    fn one_trial_at_a_time_and_its_success_forgives() {
        let record = FailureRecord::new();
        record.failed(limit(1), Answered, at(100));
        assert!(record.claim(limit(1), at(111)));
        assert!(!record.claim(limit(1), at(111)), "a second trial");
        assert_eq!(record.ejected_until(limit(1), at(111)), Some(at(121)));
        record.succeeded(true);
        assert_eq!(record.fails(), 0);
        assert_eq!(record.ejected_until(limit(1), at(111)), None);
    }

    #[test]
    fn a_failed_trial_ejects_again() {
        let record = FailureRecord::new();
        record.failed(limit(1), Answered, at(100));
        assert!(record.claim(limit(1), at(111)));
        assert!(record.failed(limit(1), Answered, at(112)));
        assert_eq!(record.ejected_until(limit(1), at(122)), Some(at(122)));
    }

    #[test]
    fn failures_below_the_limit_add_up_until_a_late_success() {
        let record = FailureRecord::new();
        assert!(!record.failed(limit(3), Answered, at(1)));
        assert!(!record.failed(limit(3), Answered, at(5)));
        assert!(record.claim(limit(3), at(6)));
        record.succeeded(true);
        assert_eq!(
            record.fails(),
            2,
            "a success within the window forgives nothing"
        );
        assert!(record.claim(limit(3), at(16)));
        record.succeeded(true);
        assert_eq!(record.fails(), 0);
    }

    #[test]
    fn a_window_is_never_too_short_and_never_moves_back() {
        let record = FailureRecord::new();
        record.failed(limit(1), Answered, Timestamp::from_nanos(1));
        let until = record.ejected_until(limit(1), at(0)).unwrap();
        assert_eq!(until.as_nanos(), (10 << 30) + (1 << 16));
        record.failed(limit(1), Answered, at(50));
        record.failed(limit(1), Answered, at(49));
        assert_eq!(record.ejected_until(limit(1), at(55)), Some(at(60)));
    }

    #[test]
    fn a_timeout_of_zero_still_allows_one_trial_at_a_time() {
        let limit = FailLimit::new(NonZeroU32::MIN, Duration::ZERO);
        let record = FailureRecord::new();
        record.failed(limit, Answered, Timestamp::from_nanos(7));
        let later = Timestamp::from_nanos(100_007);
        assert!(record.claim(limit, later));
        assert!(!record.claim(limit, later));
    }

    #[test]
    #[cfg_attr(
        miri,
        ignore = "arithmetic alone: Miri is slow and finds nothing there"
    )]
    fn counts_and_times_saturate() {
        let record = FailureRecord::new();
        let end = Timestamp::from_nanos(u64::MAX);
        for n in 1..=MAX_FAILS + 2 {
            let ejects = record.failed(limit(u32::MAX), Answered, end);
            assert_eq!(ejects, n >= MAX_FAILS);
        }
        assert_eq!(record.fails(), MAX_FAILS);
        assert_eq!(record.ejected_until(limit(1), end), Some(end));
        assert!(!record.claim(limit(1), end));
        assert!(record.claim(FailLimit::new(NonZeroU32::MIN, Duration::ZERO), end));
    }

    #[test]
    fn failures_are_forgiven_if_none_of_them_was_answered() {
        let record = FailureRecord::new();
        assert!(!record.forgive(at(0)));
        record.failed(limit(2), Unanswered, at(100));
        assert_eq!(record.ejection(limit(2), at(100)), None);
        record.failed(limit(2), Unanswered, at(101));
        let ejection = record.ejection(limit(2), at(102)).unwrap();
        assert_eq!((ejection.since, ejection.cause), (at(101), Unanswered));
        assert!(record.claim(limit(2), at(112)));
        let ejection = record.ejection(limit(2), at(112)).unwrap();
        assert_eq!(ejection.cause, Unanswered, "a trial keeps the cause");
        assert!(record.forgive(at(0)));
        assert!(record.is_clean());
    }

    #[test]
    fn a_failure_that_was_answered_keeps_all_of_them() {
        for order in [[Answered, Unanswered], [Unanswered, Answered]] {
            let record = FailureRecord::new();
            for failure in order {
                record.failed(limit(1), failure, at(100));
            }
            assert!(!record.forgive(at(0)));
            assert_eq!(record.fails(), 2);
            let ejection = record.ejection(limit(1), at(101)).unwrap();
            assert_eq!(ejection.cause, Answered);
        }
    }
}
