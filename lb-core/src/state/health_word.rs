//! The last result of the checks of one backend.

use crate::backend::Health;
use crate::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// The health of one backend in one word.
#[derive(Debug)]
pub(crate) struct HealthWord(AtomicU8);

impl HealthWord {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(encode(Health::Healthy)))
    }

    pub(super) fn get(&self) -> Health {
        decode(self.0.load(Relaxed))
    }

    /// Stores `health` and returns the one before.
    pub(super) fn replace(&self, health: Health) -> Health {
        decode(self.0.swap(encode(health), Relaxed))
    }
}

const fn encode(health: Health) -> u8 {
    match health {
        Health::Healthy => 0,
        Health::Unchecked => 1,
        Health::Unhealthy => 2,
    }
}

const fn decode(word: u8) -> Health {
    match word {
        0 => Health::Healthy,
        1 => Health::Unchecked,
        _ => Health::Unhealthy,
    }
}
