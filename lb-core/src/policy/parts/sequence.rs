//! A weighted order that a shared counter walks.
//!
//! Turn t of the order belongs to one backend; over a lap every backend has exactly as many turns as its weight
//! (divided by the greatest common divisor of all) says. The forms, by what the weights are:
//!
//! - equal: the backends in order, nothing stored;
//! - a lap of at most [`MAX_SMOOTH_LAP`] turns: nginx's smooth order, stored;
//! - a lap of at most [`STORED_TURNS`] for each backend: the weights take turns in the smooth order, each by the weight
//!   of all who have it, and these among themselves in their own order; stored. Walking it reads the memory of the
//!   backends in order, which is what a pick of ten thousand costs most;
//! - longer, or with very many different weights: turn t is the unit `t * step mod lap` of all units of weight laid end
//!   to end, where `step` is an integer prime to the lap and near lap / golden ratio. Multiples of such a step visit
//!   every unit once a lap and, by the three-gap theorem, hardly bunch. Finding the unit's backend
//!   takes a guide table and a short search (Chen and Asau, "On Generating Random Variates from an Empirical
//!   Distribution", 1974).

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use crate::pick::context::PickContext;
use crate::policy::parts::indices::Indices;
use crate::tiers::tier::BackendIndex;

/// The longest lap whose smooth order is stored. Compiling one costs lap * n steps: some milliseconds at worst.
const MAX_SMOOTH_LAP: u64 = 4096;

/// How many turns for each backend are stored of a longer order.
const STORED_TURNS: u64 = 4;
/// How many steps such an order may take to make: a millisecond or two.
const MAX_STEPS: u64 = 1 << 21;
/// How far to either side of the golden ratio a step is looked for.
const NEAR: u64 = 200;

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
            Self::Stored(Indices::new(
                &smooth_order(&weights, lap).collect::<Vec<_>>(),
            ))
        } else {
            let stored = lap <= STORED_TURNS * weights.len() as u64;
            let turns = stored.then(|| by_weight(&weights, lap)).flatten();
            turns.map_or_else(|| Self::Spread(Spread::new(&weights, lap)), Self::Stored)
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
fn smooth_order(weights: &[u64], lap: u64) -> impl Iterator<Item = u32> {
    let mut current = vec![0_i64; weights.len()];
    (0..lap).map(move |_| {
        let mut best = 0;
        for (i, &weight) in weights.iter().enumerate() {
            current[i] += weight as i64;
            if current[i] > current[best] {
                best = i;
            }
        }
        current[best] -= lap as i64;
        best as u32
    })
}

/// The smooth order of the different weights, and of each those who have it in turn. `None` if that takes too long.
fn by_weight(weights: &[u64], lap: u64) -> Option<Indices> {
    let mut sharers: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for (i, &weight) in (0..).zip(weights) {
        sharers.entry(weight).or_default().push(i);
    }
    if lap * sharers.len() as u64 > MAX_STEPS {
        return None;
    }
    let sum = |(weight, sharers): (&u64, &Vec<u32>)| weight * sharers.len() as u64;
    let sums: Vec<u64> = sharers.iter().map(sum).collect();
    let mut sharers: Vec<_> = sharers.values().map(|all| all.iter().cycle()).collect();
    let turns = smooth_order(&sums, lap).filter_map(|weight| sharers[weight as usize].next());
    Some(Indices::new(&turns.copied().collect::<Vec<_>>()))
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

/// Of the integers around `lap` / golden ratio that are prime to `lap`, the one whose multiples are spread best: what is
/// left over between turns grows with the partial quotients of step / lap, which for the golden ratio itself are all 1.
fn golden_step(lap: u64) -> u64 {
    let ideal = (lap as f64 * 0.618_033_988_749_894_9).round() as u64;
    (ideal.saturating_sub(NEAR)..=ideal + NEAR)
        .filter(|&step| step > 0 && gcd(step, lap) == 1)
        .min_by_key(|&step| (largest_quotient(lap, step), step.abs_diff(ideal)))
        .unwrap_or(1)
}

/// The largest partial quotient of `b` / `a`, where `b` is less.
fn largest_quotient(mut a: u64, mut b: u64) -> u64 {
    let mut largest = 0;
    while b > 0 {
        largest = largest.max(a / b);
        (a, b) = (b, a % b);
    }
    largest
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
    fn a_long_stored_lap_gives_every_backend_its_turns_at_even_distances() {
        let weights: Vec<u16> = (0..3000).map(|i| 1 + i % 3).collect();
        let stored = sequence(&weights);
        assert!(matches!(&stored, Sequence::Stored(turns) if turns.len() == 6000));
        let mut seen = vec![Vec::new(); weights.len()];
        for ticket in 0..6000 {
            seen[stored.turn(ticket).as_usize()].push(ticket);
        }
        for (seen, &weight) in seen.iter().zip(&weights) {
            assert_eq!(seen.len(), usize::from(weight));
            let ideal = 6000 / u64::from(weight);
            let again = seen[0] + 6000;
            for (&one, &next) in seen.iter().zip(seen[1..].iter().chain([&again])) {
                assert!((next - one).abs_diff(ideal) <= 3, "{seen:?}");
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic, of which Miri can say nothing but slowly")]
    fn one_heavy_backend_among_many_does_not_bunch() {
        let mut weights = vec![1; 10_000];
        weights[7] = 20_000;
        let stored = sequence(&weights);
        assert!(matches!(&stored, Sequence::Stored(_)));
        for window in turns(&stored, 0..29_999).windows(30) {
            let heavy = window.iter().filter(|&&i| i == 7).count();
            assert!((19..=21).contains(&heavy), "{heavy} of 30");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic, of which Miri can say nothing but slowly")]
    fn many_different_weights_are_not_stored() {
        let mut weights = vec![1; 50_000];
        assert_eq!(sequence(&weights).lap(), 50_000);
        for (weight, other) in weights.iter_mut().zip(2..102) {
            *weight = other;
        }
        assert!(matches!(sequence(&weights), Sequence::Spread(_)));
        let fewer = &weights[90..];
        assert!(matches!(sequence(fewer), Sequence::Stored(_)));
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
    fn a_light_backend_has_its_turns_at_even_distances_too() {
        for (heavy, light) in [
            (8277, 34),
            (60_001, 7),
            (5003, 100),
            (65_535, 1),
            (30_000, 3),
        ] {
            let spread = sequence(&[heavy, light]);
            let lap = spread.lap();
            assert!(matches!(spread, Sequence::Spread(_)));
            let of_light = (0..2 * lap).filter(|&ticket| spread.turn(ticket).get() == 1);
            let seen: Vec<u64> = of_light.collect();
            let widest = seen.windows(2).map(|pair| pair[1] - pair[0]).max();
            let ideal = lap / u64::from(light);
            assert!(widest.unwrap() <= 4 * ideal, "{heavy}, {light}: {widest:?}");
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
