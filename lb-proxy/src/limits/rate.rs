//! A limit on the rate of new connections: a token bucket.
//!
//! The bucket is one number, as in the generic cell rate algorithm (ITU-T I.371): the moment at which the bucket will be
//! full again. No timer refills it, and one atomic word holds it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use lb_core::Timestamp;

/// A limit on new connections over time: a bucket of tokens. Each connection takes one.
#[doc(alias = "limit_req", alias = "rate-limit sessions")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// Nanoseconds after which there is another token. 0: there never is one, which [`check`](Self::check) refuses.
    interval: u64,
    burst: u32,
}

impl Rate {
    /// `connections` a second. Connections are spaced evenly, and after a pause as many may arrive at once.
    /// The `build` of what has the rate refuses 0.
    pub fn per_second(connections: u32) -> Self {
        Self::new(connections, Duration::from_secs(1))
    }

    /// `connections` in every `period`. Connections are spaced evenly, and after a pause as many may arrive at once.
    ///
    /// A rate above one in a nanosecond means one in a nanosecond. The `build` of what has the rate refuses 0 connections.
    pub fn new(connections: u32, period: Duration) -> Self {
        let interval = period.as_nanos().checked_div(connections.into());
        let at_least_one = |interval| u64::try_from(interval).unwrap_or(u64::MAX).max(1);
        Self {
            interval: interval.map_or(0, at_least_one),
            burst: connections,
        }
    }

    /// Sets how many connections may come at once after a pause. Default: those of one period. With 1, every
    /// two connections are at least one interval apart. The `build` of what has the rate refuses 0.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }

    /// Finds what is zero and must not be.
    pub(crate) const fn check(self) -> Result<(), &'static str> {
        match self {
            Self { interval: 0, .. } => Err("the number of connections of the rate"),
            Self { burst: 0, .. } => Err("the burst of the rate"),
            Self { .. } => Ok(()),
        }
    }

    /// The time after which there is another token.
    #[cfg(feature = "serde")]
    pub(super) const fn interval(self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    #[cfg(feature = "serde")]
    pub(super) const fn burst_size(self) -> u32 {
        self.burst
    }

    /// Takes a token at `now` from a bucket that is full at `full_at`. Returns the next moment at which the bucket is full,
    /// or an error with the time until there is a token.
    pub(crate) fn take(self, full_at: Timestamp, now: Timestamp) -> Result<Timestamp, Duration> {
        let full_at = full_at.max(now);
        let missing = full_at.saturating_since(now);
        let most = self
            .interval
            .saturating_mul(u64::from(self.burst).saturating_sub(1));
        match missing.checked_sub(Duration::from_nanos(most)) {
            None | Some(Duration::ZERO) => {
                Ok(full_at.saturating_add(Duration::from_nanos(self.interval)))
            }
            Some(wait) => Err(wait),
        }
    }
}

/// The token bucket of a [`Rate`], shared by threads.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    rate: Rate,
    full_at: AtomicU64,
}

impl TokenBucket {
    pub(crate) const fn new(rate: Rate) -> Self {
        Self {
            rate,
            full_at: AtomicU64::new(0),
        }
    }

    /// Takes a token. The error is the time until there is one.
    pub(crate) fn take(&self, now: Timestamp) -> Result<(), Duration> {
        let mut wait = Duration::ZERO;
        let taken = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| {
            let taken = self.rate.take(Timestamp::from_nanos(full_at), now);
            taken
                .inspect_err(|&left| wait = left)
                .ok()
                .map(Timestamp::as_nanos)
        });
        taken.map(drop).map_err(|_| wait)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(connections: u32) -> Rate {
        Rate::per_second(connections)
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_burst_then_one_after_another() {
        let bucket = TokenBucket::new(rate(10).burst(3));
        let start = at(1000);
        for _ in 0..3 {
            bucket.take(start).unwrap();
        }
        assert_eq!(bucket.take(start), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(at(1060)), Err(Duration::from_millis(40)));
        bucket.take(at(1100)).unwrap();
        bucket.take(at(1100)).unwrap_err();
        // After a long pause the burst is there again, and no more than that.
        let taken = (0..9).filter(|_| bucket.take(at(60_000)).is_ok()).count();
        assert_eq!(taken, 3);
    }

    proptest! {
        /// In any interval at most as many connections pass as the burst and the rate allow. A connection that waits as
        /// long as the refusal says passes.
        #[test]
        fn never_more_than_the_rate_and_the_burst(
            per_second in 1_u32..2000,
            burst in 1_u32..50,
            gaps in proptest::collection::vec(0_u64..40_000_000, 1..400),
        ) {
            let rate = rate(per_second).burst(burst);
            let bucket = TokenBucket::new(rate);
            let mut now = 0;
            let mut passed = Vec::new();
            for gap in gaps {
                now += gap;
                match bucket.take(Timestamp::from_nanos(now)) {
                    Ok(()) => passed.push(now),
                    Err(wait) => {
                        now += u64::try_from(wait.as_nanos()).unwrap();
                        prop_assert_eq!(bucket.take(Timestamp::from_nanos(now)), Ok(()));
                        passed.push(now);
                    }
                }
            }
            for (i, first) in passed.iter().enumerate() {
                for (n, last) in passed[i..].iter().enumerate() {
                    let most = u64::from(burst) + (last - first) / rate.interval;
                    prop_assert!((n as u64) < most, "{} in {} ns", n + 1, last - first);
                }
            }
        }
    }
}
