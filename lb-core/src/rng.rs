//! Randomness, which the caller provides.

use std::num::NonZeroU64;

use crate::hash::mix;

/// A source of random bits.
///
/// The crate has no other source, so with a seeded generator every random policy can be replayed. A panic of a generator is one of
/// the call that it was passed to.
pub trait Rng {
    /// The next 64 random bits.
    fn next_u64(&mut self) -> u64;

    /// A number below `bound`, by one multiplication instead of a division.
    ///
    /// The chances of two numbers differ by at most `bound` / 2^64 (Lemire, "Fast Random Integer
    /// Generation in an Interval", 2019). There is no number below 0, hence the type.
    fn below(&mut self, bound: NonZeroU64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound.get());
        (wide >> 64) as u64
    }
}

/// A small, fast generator for load balancing; not for secrets.
///
/// Algorithm: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014), with the
/// constants of Vigna's `splitmix64.c`. One draw costs three multiply-xor steps.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator with draws determined by `seed` alone.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl Rng for SplitMix64 {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_matches_the_reference_sequence() {
        // The first outputs of Vigna's splitmix64.c for the seed 1234567.
        let mut rng = SplitMix64::new(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = SplitMix64::new(7);
        let bound = NonZeroU64::new(5).unwrap();
        let mut seen = [0_u32; 5];
        for _ in 0..1000 {
            seen[rng.below(bound) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| n > 150), "{seen:?}");
        assert_eq!(rng.below(NonZeroU64::MIN), 0);
    }
}
