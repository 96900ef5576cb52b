//! Growing delays between attempts.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::num::NonZeroU64;
use std::time::Duration;

use lb_core::{Rng, SplitMix64};

/// Delays between failing attempts: they double up to a maximum, and half of each is random.
///
/// The n-th delay lies between one half and the whole of `min(base * 2^n, max)`. The random half prevents that all
/// clients of a failed server retry at the same moment; the fixed half prevents that any client retries at once ("equal
/// jitter" in Brooker, "Exponential Backoff And Jitter", 2015).
///
/// Pure: neither sleeps nor reads a clock, and draws from the [`Rng`] that the caller passes.
///
/// ```
/// use std::time::Duration;
/// use lb_core::SplitMix64;
/// use lb_discovery::Backoff;
///
/// let mut rng = SplitMix64::new(1);
/// let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// let first = backoff.next_delay(&mut rng);
/// assert!((Duration::from_millis(250)..=Duration::from_millis(500)).contains(&first));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// The minimum base: a loop that retries must not spin, whatever its configuration.
    pub const MIN_BASE: Duration = Duration::from_millis(10);

    /// Makes delays that start at `base` and never exceed `max`. Raises a `base` below [`MIN_BASE`](Self::MIN_BASE) to
    /// that, and a `max` below `base` to `base`.
    pub fn new(base: Duration, max: Duration) -> Self {
        let base = base.max(Self::MIN_BASE);
        Self {
            base,
            max: max.max(base),
            ceiling: base,
        }
    }

    /// Returns the next delay. The one after it may be twice as long.
    ///
    /// # Panics
    ///
    /// If `rng` panics. The next delay grows all the same.
    pub fn next_delay(&mut self, rng: &mut impl Rng) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = ceiling.saturating_mul(2).min(self.max);
        let half = ceiling / 2;
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        let drawn = NonZeroU64::new(span).map_or(0, |span| rng.below(span));
        ceiling - half + Duration::from_nanos(drawn)
    }

    /// Returns the upper bound of the next delay. Does not decrease before [`reset`](Self::reset).
    pub fn ceiling(&self) -> Duration {
        self.ceiling
    }

    /// Restarts at the base. Call it after a success.
    pub fn reset(&mut self) {
        self.ceiling = self.base;
    }
}

/// Returns a generator for jitter with a random seed.
pub(crate) fn seeded() -> SplitMix64 {
    // std seeds its hasher from the system's randomness, which is good enough for jitter.
    SplitMix64::new(RandomState::new().hash_one(0_u8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_to_the_maximum_and_starts_over() {
        let mut rng = SplitMix64::new(3);
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(3));
        let mut ceilings = Vec::new();
        for _ in 0..5 {
            ceilings.push(backoff.ceiling().as_millis());
            backoff.next_delay(&mut rng);
        }
        assert_eq!(ceilings, [500, 1000, 2000, 3000, 3000]);
        backoff.reset();
        assert_eq!(backoff.ceiling(), Duration::from_millis(500));
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let draw = |seed| {
            let mut rng = SplitMix64::new(seed);
            let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
            (0..8)
                .map(|_| backoff.next_delay(&mut rng))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    fn any_duration() -> impl Strategy<Value = Duration> {
        prop_oneof![
            Just(Duration::ZERO),
            Just(Duration::MAX),
            any::<u64>().prop_map(Duration::from_nanos),
            any::<u64>().prop_map(Duration::from_secs),
        ]
    }

    proptest! {
        #[test]
        fn every_delay_is_within_its_bounds(
            base in any_duration(),
            max in any_duration(),
            seed in any::<u64>(),
            rounds in 1_usize..200,
        ) {
            let mut rng = SplitMix64::new(seed);
            let mut backoff = Backoff::new(base, max);
            let limit = max.max(base).max(Backoff::MIN_BASE);
            for _ in 0..rounds {
                let ceiling = backoff.ceiling();
                let delay = backoff.next_delay(&mut rng);
                prop_assert!(delay >= ceiling / 2 && delay <= ceiling);
                prop_assert!(delay >= Backoff::MIN_BASE / 2 && delay <= limit);
                prop_assert!(backoff.ceiling() >= ceiling);
            }
        }
    }
}
