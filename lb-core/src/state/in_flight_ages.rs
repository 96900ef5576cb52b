//! The ages of the attempts that wait for a backend.

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::time::Timestamp;

/// How many attempts are in flight, and the sum of their ages, in milliseconds.
///
/// One word, because a count without its sum would give any mean: 16 bits of the count, at the top, and 48 of the sum of the
/// moments when the attempts began, modulo 2^48. The sum of the ages is `count * now - sum`. An attempt beyond
/// [`MAX`](Self::MAX) is not counted.
#[derive(Debug)]
pub(crate) struct InFlightAges(AtomicU64);

const SUM: u64 = (1 << 48) - 1;

impl InFlightAges {
    const MAX: u64 = (1 << 16) - 1;

    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds an attempt that begins at `now`. False if there are too many.
    pub(crate) fn begin(&self, now: Timestamp) -> bool {
        self.update(|count, sum| {
            (count < Self::MAX).then(|| (count + 1, sum.wrapping_add(millis(now))))
        })
    }

    /// Removes the attempt that began at `begun`.
    pub(crate) fn end(&self, begun: Timestamp) {
        self.update(|count, sum| Some((count.checked_sub(1)?, sum.wrapping_sub(millis(begun)))));
    }

    /// Removes an attempt that failed at `now`. As in nginx, its age stays in the sum until no attempt is in flight.
    pub(crate) fn fail(&self, now: Timestamp) {
        self.end(now);
    }

    /// The mean age at `now`, if an attempt is in flight.
    #[inline]
    pub(crate) fn mean(&self, now: Timestamp) -> Option<u32> {
        let word = self.0.load(Relaxed);
        if word == 0 {
            return None;
        }
        let (count, sum) = (word >> 48, word & SUM);
        let ages = count.wrapping_mul(millis(now)).wrapping_sub(sum) & SUM;
        // Threads report out of order, so a sum may be a little below zero.
        let ages = if ages > SUM / 2 { 0 } else { ages };
        u32::try_from(ages.checked_div(count)?).ok()
    }

    fn update(&self, change: impl Fn(u64, u64) -> Option<(u64, u64)>) -> bool {
        let changed = |word: u64| {
            let (count, sum) = change(word >> 48, word & SUM)?;
            Some(if count == 0 {
                0
            } else {
                count << 48 | sum & SUM
            })
        };
        self.0.fetch_update(Relaxed, Relaxed, changed).is_ok()
    }
}

const fn millis(now: Timestamp) -> u64 {
    now.as_nanos() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Timestamp {
        Timestamp::from_nanos(n * 1_000_000)
    }

    #[test]
    fn the_mean_age_follows_begins_and_ends() {
        let ages = InFlightAges::new();
        assert_eq!(ages.mean(ms(5)), None);
        ages.begin(ms(1000));
        ages.begin(ms(1100));
        assert_eq!(ages.mean(ms(1200)), Some(150));
        ages.end(ms(1000));
        assert_eq!(ages.mean(ms(1200)), Some(100));
        ages.end(ms(1100));
        assert_eq!(ages.mean(ms(1200)), None);
        ages.end(ms(1100));
        assert_eq!(ages.mean(ms(1200)), None, "an end too many");
    }

    #[test]
    fn the_age_of_a_failed_attempt_stays_while_others_are_in_flight() {
        let ages = InFlightAges::new();
        ages.begin(ms(0));
        ages.begin(ms(900));
        ages.fail(ms(1000));
        assert_eq!(ages.mean(ms(1000)), Some(1100), "1000 + 100");
        ages.end(ms(900));
        ages.begin(ms(2000));
        assert_eq!(ages.mean(ms(2007)), Some(7));
    }

    #[test]
    fn late_clocks_and_too_many_attempts_are_borne() {
        let ages = InFlightAges::new();
        ages.begin(ms(1000));
        assert_eq!(ages.mean(ms(999)), Some(0));
        for _ in 1..InFlightAges::MAX {
            assert!(ages.begin(ms(1000)));
        }
        assert!(!ages.begin(ms(1000)));
        assert_eq!(ages.mean(ms(51_000)), Some(50_000));
    }
}
