//! Independent streams of random numbers.

use lb_core::{Rng, SplitMix64};

/// The purpose of a stream. Each stream has its own numbers, so that the draws of a policy do not change the clients and
/// times of arrivals.
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
        // Two rounds: with one, the streams of adjacent numbers would be one stream, a step apart.
        let mixed = SplitMix64::new(seed).next_u64() ^ SplitMix64::new(!number).next_u64();
        SplitMix64::new(SplitMix64::new(mixed).next_u64())
    }
}

/// A number from 0 to below 1, from 53 random bits.
pub(crate) fn unit(rng: &mut dyn Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
