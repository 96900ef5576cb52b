//! Pseudo-random bytes.

use std::iter::repeat_with;

use lb_core::{Rng, SplitMix64};

/// The first `len` pseudo-random bytes of `seed`. A block at a wrong offset shows in a comparison.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = SplitMix64::new(seed);
    let words = repeat_with(|| rng.next_u64().to_le_bytes());
    words.flatten().take(len).collect()
}
