//! A weighted order that a shared counter walks.
//!
//! Turn t of the order belongs to one backend; over a lap every backend has exactly as many turns as its weight
//! (divided by the greatest common divisor of all) says. Three forms, by what the weights are:
//!
//! - equal: the backends in order, nothing stored;
//! - a lap of at most [`MAX_SMOOTH_LAP`] turns: nginx's smooth order, stored;
//! - longer: turn t is the unit `t * step mod lap` of all units of weight laid end to end, where `step` is the
//!   integer prime to the lap that is nearest to lap / golden ratio. Multiples of such a step visit every unit once
//!   a lap and, by the three-gap theorem, never come in bunches. Finding the unit's backend takes a guide table and
//!   a short search (Chen and Asau, "On Generating Random Variates from an Empirical Distribution", 1974), which is
//!   done beforehand and stored where that takes no more than [`STORED_TURNS`] for each backend.

use std::num::NonZeroU16;

use crate::context::PickContext;
use crate::indices::Indices;
use crate::tier::BackendIndex;

/// The longest lap whose smooth order is stored. Compiling one costs lap * n steps: some milliseconds at worst.
const MAX_SMOOTH_LAP: u64 = 4096;

/// How many turns for each backend are stored of an order that can be worked out turn by turn.
const STORED_TURNS: u64 = 4;

#[derive(Debug)]
pub(crate) enum Sequence {
    Rotation { len: u64 },
    Spread(Spread),
    Stored(Indices),
}

impl Sequence {
    /// The order for `weights`, of which there is at least one.
    pub(crate) fn new(weights: impl ExactSizeIterator<Item = NonZeroU16>) -> Self {
        let weights: Vec<u64> = weights.map(|w| w.get().into()).collect();
        let divisor = weights.iter().copied().fold(0, gcd).max(1);
        let weights: Vec<u64> = weights.iter().map(|w| w / divisor).collect();
        let lap: u64 = weights.iter().sum();
        if weights.iter().all(|&w| w == 1) {
            Self::Rotation { len: lap.max(1) }
        } else if lap <= MAX_SMOOTH_LAP {
            Self::Stored(smooth_order(&weights, lap))
        } else {
            let spread = Spread::new(&weights, lap);
            if lap > STORED_TURNS * weights.len() as u64 {
                return Self::Spread(spread);
            }
            let turns: Vec<u32> = (0..lap).map(|ticket| spread.turn(ticket)).collect();
            Self::Stored(Indices::new(&turns))
        }
    }

    /// The backend whose turn it is, passing over those that do not take theirs. A turn passed over is gone, as if
    /// the backend were not in the order. Where a whole lap, or [`MAX_SMOOTH_LAP`] turns of a longer one, are passed
    /// over, one draw by weight among the eligible decides.
    pub(crate) fn next(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        for _ in 0..self.lap().min(MAX_SMOOTH_LAP) {
            let ticket = cx.ticket();
            let i = self.turn(ticket);
            if cx.takes_turn_number(i, ticket) {
                return Some(i);
            }
        }
        cx.draw_among(PickContext::is_eligible)
    }

    /// Whose turn number `ticket` is.
    #[inline]
    pub(crate) fn turn(&self, ticket: u64) -> BackendIndex {
        BackendIndex::new(match self {
            Self::Rotation { len } => (ticket % len) as u32,
            Self::Spread(spread) => spread.turn(ticket),
            Self::Stored(turns) => turns.get((ticket % turns.len() as u64) as usize),
        })
    }

    /// How many turns there are before the order repeats.
    pub(crate) fn lap(&self) -> u64 {
        match self {
            Self::Rotation { len } => *len,
            Self::Spread(spread) => spread.lap,
            Self::Stored(turns) => turns.len() as u64,
        }
    }
}

/// nginx's order: every turn each backend gains its weight, the richest is chosen and pays the sum of all.
fn smooth_order(weights: &[u64], lap: u64) -> Indices {
    let mut current = vec![0_i64; weights.len()];
    let turn = |_| {
        let mut best = 0;
        for (i, &weight) in weights.iter().enumerate() {
            current[i] += weight as i64;
            if current[i] > current[best] {
                best = i;
            }
        }
        current[best] -= lap as i64;
        best as u32
    };
    let turns: Vec<u32> = (0..lap).map(turn).collect();
    Indices::new(&turns)
}

/// Units of weight laid end to end and visited in golden-ratio steps.
#[derive(Debug)]
pub(crate) struct Spread {
    /// Where each backend's units end.
    ends: Box<[u64]>,
    /// For each of n equal parts of the lap, the backend of its first unit.
    guide: Box<[u32]>,
    lap: u64,
    step: u64,
}

impl Spread {
    fn new(weights: &[u64], lap: u64) -> Self {
        let mut end = 0;
        let ends: Box<[u64]> = weights
            .iter()
            .map(|weight| {
                end += weight;
                end
            })
            .collect();
        let parts = weights.len() as u64;
        let first_unit = |part: u64| (part * lap).div_ceil(parts);
        let guide = (0..parts)
            .map(|part| ends.partition_point(|&end| end <= first_unit(part)) as u32)
            .collect();
        Self {
            ends,
            guide,
            lap,
            step: golden_step(lap),
        }
    }

    fn turn(&self, ticket: u64) -> u32 {
        // Both factors are below the lap, and a lap is below 2^48.
        let unit = u128::from(ticket % self.lap) * u128::from(self.step) % u128::from(self.lap);
        let unit = unit as u64;
        let parts = self.guide.len() as u64;
        let part = (u128::from(unit) * u128::from(parts) / u128::from(self.lap)) as usize;
        let from = self.guide[part] as usize;
        let to = self
            .guide
            .get(part + 1)
            .map_or(self.ends.len(), |&next| next as usize + 1);
        (from + self.ends[from..to].partition_point(|&end| end <= unit)) as u32
    }
}

/// The integer nearest to `lap` / golden ratio that is prime to `lap`.
fn golden_step(lap: u64) -> u64 {
    let ideal = (lap as f64 * 0.618_033_988_749_894_9).round() as u64;
    (0..lap)
        .flat_map(|distance| [ideal.saturating_sub(distance), ideal + distance])
        .find(|&step| step > 0 && gcd(step, lap) == 1)
        .unwrap_or(1)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(weights: &[u16]) -> Sequence {
        let weights: Vec<_> = weights.iter().copied().map(NonZeroU16::new).collect();
        Sequence::new(weights.into_iter().map(Option::unwrap))
    }

    fn turns(sequence: &Sequence, tickets: std::ops::Range<u64>) -> Vec<usize> {
        tickets.map(|t| sequence.turn(t).as_usize()).collect()
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic, of which Miri can say nothing but slowly")]
    fn equal_weights_store_nothing() {
        assert!(matches!(
            sequence(&[9; 20_000]),
            Sequence::Rotation { len: 20_000 }
        ));
        assert_eq!(turns(&sequence(&[7, 7, 7]), 0..5), [0, 1, 2, 0, 1]);
    }

    #[test]
    fn common_divisors_shorten_the_lap() {
        let short = sequence(&[50_000, 10_000, 10_000]);
        assert!(matches!(&short, Sequence::Stored(turns) if turns.len() == 7));
        assert_eq!(turns(&short, 0..7), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic, of which Miri can say nothing but slowly")]
    fn a_stored_lap_is_the_one_that_would_be_worked_out() {
        let weights: Vec<u64> = (0..3000).map(|i| 1 + i % 3).collect();
        let spread = Spread::new(&weights, 6000);
        let stored = sequence(&weights.iter().map(|&w| w as u16).collect::<Vec<_>>());
        assert!(matches!(&stored, Sequence::Stored(turns) if turns.len() == 6000));
        let expected: Vec<usize> = (0..7000).map(|t| spread.turn(t) as usize).collect();
        assert_eq!(turns(&stored, 0..7000), expected);
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic, of which Miri can say nothing but slowly")]
    fn a_spread_lap_gives_every_backend_its_exact_share() {
        let weights = [65_535, 1, 2, 30_000, 17];
        let spread = sequence(&weights);
        assert!(matches!(spread, Sequence::Spread(_)));
        let lap: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        let mut counts = [0_u16; 5];
        // From anywhere in the order, and over the end of the counter's range.
        for ticket in (u64::MAX - u64::MAX % lap - lap / 2..).take(lap as usize / 2) {
            counts[spread.turn(ticket).as_usize()] += 1;
        }
        for ticket in 0..lap - lap / 2 {
            counts[spread.turn(ticket).as_usize()] += 1;
        }
        assert_eq!(counts, weights);
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic, of which Miri can say nothing but slowly")]
    fn a_spread_order_does_not_bunch() {
        // The first backend has a third of all weight: among 12 turns it has 3 to 5.
        let spread = sequence(&[20_000, 13_001, 27_000]);
        let turns = turns(&spread, 0..60_001);
        for window in turns.windows(12) {
            let first = window.iter().filter(|&&i| i == 0).count();
            assert!((3..=5).contains(&first), "{first} of 12");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic, of which Miri can say nothing but slowly")]
    fn a_hundred_thousand_heavy_backends_do_not_overflow() {
        let mut weights = vec![u16::MAX; 100_000];
        weights[0] = u16::MAX - 1;
        let spread = sequence(&weights);
        for ticket in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(spread.turn(ticket).as_usize() < weights.len());
        }
    }
}
