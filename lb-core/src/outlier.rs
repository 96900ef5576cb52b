//! Passive outlier ejection: what real connections tell about a backend.
//!
//! The meaning is nginx's `max_fails` and `fail_timeout` (`ngx_stream_upstream_round_robin.c`): a failure is a
//! connection that could not be established; after `max_fails` of them the backend is ejected for
//! `fail_timeout`, then a single connection is let through as a trial. If that succeeds the failures are
//! forgotten, if not the backend stays ejected for another `fail_timeout`. Failures below the limit are forgotten
//! by a success that was picked more than `fail_timeout` after the last of them.
//!
//! Where nginx counts whole seconds, this counts nanoseconds.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::time::Timestamp;

/// How many failures eject a backend, and for how long.
///
/// The default is nginx's: one failure, ten seconds.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FailLimit {
    /// Failures that eject.
    pub max_fails: NonZeroU32,
    /// How long an ejection lasts, and how long a lone failure is remembered.
    pub fail_timeout: Duration,
}

impl FailLimit {
    /// Ejects for `fail_timeout` after `max_fails` failures.
    pub const fn new(max_fails: NonZeroU32, fail_timeout: Duration) -> Self {
        Self {
            max_fails,
            fail_timeout,
        }
    }
}

impl Default for FailLimit {
    fn default() -> Self {
        Self::new(NonZeroU32::MIN, Duration::from_secs(10))
    }
}

/// The failures of one backend. Reads cost one relaxed load while there are none.
#[derive(Debug)]
pub(crate) struct FailureRecord {
    fails: AtomicU32,
    /// When the last failure was reported; nginx's `accessed`.
    failed_at: AtomicU64,
    /// When the present window began: at a failure, or at the pick of a trial; nginx's `checked`.
    checked_at: AtomicU64,
}

impl FailureRecord {
    pub(crate) const fn new() -> Self {
        Self {
            fails: AtomicU32::new(0),
            failed_at: AtomicU64::new(0),
            checked_at: AtomicU64::new(0),
        }
    }

    pub(crate) fn fails(&self) -> u32 {
        self.fails.load(Relaxed)
    }

    /// When the ejection ends, if the backend is ejected at `now`.
    pub(crate) fn ejected_until(&self, limit: FailLimit, now: Timestamp) -> Option<Timestamp> {
        if self.fails() < limit.max_fails.get() {
            return None;
        }
        let checked = Timestamp::from_nanos(self.checked_at.load(Relaxed));
        let until = checked.saturating_add(limit.fail_timeout);
        (now <= until).then_some(until)
    }

    /// Claims the right to connect at `now`. Refused to all but one of those who race for a trial.
    pub(crate) fn claim(&self, limit: FailLimit, now: Timestamp) -> bool {
        let fails = self.fails();
        if fails == 0 {
            return true;
        }
        let checked = self.checked_at.load(Relaxed);
        let expired = now.saturating_since(Timestamp::from_nanos(checked)) > limit.fail_timeout;
        let renewed = expired
            && self
                .checked_at
                .compare_exchange(checked, now.as_nanos(), Relaxed, Relaxed)
                .is_ok();
        renewed || fails < limit.max_fails.get()
    }

    /// Counts a failure. True if it ejects: the count has reached the limit.
    pub(crate) fn failed(&self, limit: FailLimit, now: Timestamp) -> bool {
        self.failed_at.store(now.as_nanos(), Relaxed);
        self.checked_at.store(now.as_nanos(), Relaxed);
        let counted = |fails: u32| Some(fails.saturating_add(1));
        let before = self
            .fails
            .fetch_update(Relaxed, Relaxed, counted)
            .unwrap_or_default();
        before.saturating_add(1) >= limit.max_fails.get()
    }

    /// Counts an established connection.
    pub(crate) fn succeeded(&self) {
        if self.fails() == 0 {
            return;
        }
        if self.failed_at.load(Relaxed) < self.checked_at.load(Relaxed) {
            self.fails.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn limit(max_fails: u32) -> FailLimit {
        FailLimit::new(NonZeroU32::new(max_fails).unwrap(), Duration::from_secs(10))
    }

    #[test]
    fn one_failure_ejects_until_the_timeout_has_passed() {
        let record = FailureRecord::new();
        assert!(record.failed(limit(1), at(100)));
        assert_eq!(record.ejected_until(limit(1), at(105)), Some(at(110)));
        assert!(!record.claim(limit(1), at(110)));
        assert_eq!(record.ejected_until(limit(1), at(111)), None);
    }

    #[test]
    fn one_trial_at_a_time_and_its_success_forgives() {
        let record = FailureRecord::new();
        record.failed(limit(1), at(100));
        assert!(record.claim(limit(1), at(111)));
        assert!(!record.claim(limit(1), at(111)), "a second trial");
        assert_eq!(record.ejected_until(limit(1), at(111)), Some(at(121)));
        record.succeeded();
        assert_eq!(record.fails(), 0);
        assert_eq!(record.ejected_until(limit(1), at(111)), None);
    }

    #[test]
    fn a_failed_trial_ejects_again() {
        let record = FailureRecord::new();
        record.failed(limit(1), at(100));
        assert!(record.claim(limit(1), at(111)));
        assert!(record.failed(limit(1), at(112)));
        assert_eq!(record.ejected_until(limit(1), at(122)), Some(at(122)));
    }

    #[test]
    fn failures_below_the_limit_add_up_until_a_late_success() {
        let record = FailureRecord::new();
        assert!(!record.failed(limit(3), at(1)));
        assert!(!record.failed(limit(3), at(5)));
        assert!(record.claim(limit(3), at(6)));
        record.succeeded();
        assert_eq!(
            record.fails(),
            2,
            "a success within the window forgives nothing"
        );
        assert!(record.claim(limit(3), at(16)));
        record.succeeded();
        assert_eq!(record.fails(), 0);
    }
}
