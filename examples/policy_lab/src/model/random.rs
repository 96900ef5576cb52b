//! Streams of random numbers that do not depend on each other.

use lb_core::{Rng, SplitMix64};

/// The purpose of a stream. Each has its own numbers, so that the draws of a policy do not change which clients connect when.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Arrivals,
    Clients,
    Connection(u64),
    Keys,
    Policy,
    Probe,
}

impl Stream {
    /// The stream's generator under `seed`.
    pub(crate) fn generator(self, seed: u64) -> SplitMix64 {
        let number = match self {
            Self::Arrivals => 0,
            Self::Clients => 1,
            Self::Keys => 2,
            Self::Policy => 3,
            Self::Probe => 4,
            Self::Connection(id) => id.wrapping_add(16),
        };
        // Two rounds, or the streams of neighbouring numbers would be one stream a step apart.
        let mixed = SplitMix64::new(seed).next_u64() ^ SplitMix64::new(!number).next_u64();
        SplitMix64::new(SplitMix64::new(mixed).next_u64())
    }
}

/// A number from 0 to below 1, of 53 random bits.
pub(crate) fn unit(rng: &mut dyn Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
