//! A compiled weighted order.
//!
//! Turn t of the order belongs to one backend; over a lap every backend has exactly as many turns as its weight
//! (divided by the greatest common divisor of all) says. The forms, by what the weights are:
//!
//! - equal: the backends in order, nothing stored;
//! - a lap of at most [`MAX_SMOOTH_LAP`] turns: nginx's smooth order, stored;
//! - a lap of at most [`STORED_TURNS`] for each backend: the different weights take turns in the smooth order, each by the
//!   sum of its backends, and the backends of one weight take its turns in their own order; stored. Walking it reads the
//!   memory of the backends in order, and that memory is most of the cost of a pick among ten thousand;
//! - longer, or with very many different weights: [golden-ratio steps](spread).

use std::num::NonZeroU16;

use super::smooth::{by_weight, smooth_order};
use super::spread::{Spread, gcd};
use crate::policy::parts::indices::Indices;
use crate::tiers::tier::BackendIndex;

/// The longest lap that is stored in smooth order. Compiling one costs lap * n steps: some milliseconds at worst.
pub(super) const MAX_SMOOTH_LAP: u64 = 4096;

/// Of a longer order, this many turns for each backend are stored.
const STORED_TURNS: u64 = 4;

#[derive(Debug)]
pub(crate) enum Order {
    Rotation { len: u64 },
    Spread(Spread),
    Stored(Indices),
}

impl Order {
    /// The order for `weights`, of which there is at least one.
    pub(super) fn new(weights: impl ExactSizeIterator<Item = NonZeroU16>) -> Self {
        Self::by_weights(weights.map(|w| w.get().into()).collect())
    }

    /// The order for `weights`, of which there is at least one and none is 0. The sum of all, times their number, fits.
    pub(crate) fn by_weights(weights: Vec<u64>) -> Self {
        let divisor = weights.iter().copied().fold(0, gcd).max(1);
        let weights: Vec<u64> = weights.iter().map(|w| w / divisor).collect();
        let lap: u64 = weights.iter().sum();
        if weights.iter().all(|&w| w == 1) {
            Self::Rotation { len: lap.max(1) }
        } else if lap <= MAX_SMOOTH_LAP {
            Self::Stored(Indices::new(smooth_order(&weights, lap).collect()))
        } else {
            let stored = lap <= STORED_TURNS * weights.len() as u64;
            let turns = stored.then(|| by_weight(&weights, lap)).flatten();
            turns.map_or_else(|| Self::Spread(Spread::new(&weights, lap)), Self::Stored)
        }
    }

    /// The backend of turn number `ticket`.
    #[inline]
    pub(super) fn turn(&self, ticket: u64) -> BackendIndex {
        BackendIndex::new(self.index_of(ticket))
    }

    /// The index of the weight that has turn number `ticket`.
    #[inline]
    pub(crate) fn index_of(&self, ticket: u64) -> u32 {
        match self {
            Self::Rotation { len } => (ticket % len) as u32,
            Self::Spread(spread) => spread.turn(ticket),
            Self::Stored(turns) => turns.get((ticket % turns.len() as u64) as usize),
        }
    }

    /// How many turns there are before the order repeats.
    pub(crate) fn lap(&self) -> u64 {
        match self {
            Self::Rotation { len } => *len,
            Self::Spread(spread) => spread.lap(),
            Self::Stored(turns) => turns.len() as u64,
        }
    }
}
