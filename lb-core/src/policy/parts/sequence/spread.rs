//! Units of weight visited in golden-ratio steps: exact shares for laps too long to be stored.
//!
//! Turn t is the unit `t * step mod lap` of all units of weight laid end to end, where `step` is an integer prime to the
//! lap and near lap / golden ratio. Multiples of such a step visit every unit once a lap and, by the three-gap theorem,
//! hardly bunch. Finding the backend of a unit takes a guide table and a short search (Chen and Asau, "On Generating Random
//! Variates from an Empirical Distribution", 1974).

/// How far to either side of the golden ratio a step is searched.
const NEAR: u64 = 200;

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
    pub(super) fn new(weights: &[u64], lap: u64) -> Self {
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

    /// How many turns there are before the order repeats.
    pub(super) const fn lap(&self) -> u64 {
        self.lap
    }

    /// The backend of turn number `ticket`.
    pub(super) fn turn(&self, ticket: u64) -> u32 {
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

/// Of the integers around `lap` / golden ratio that are prime to `lap`, the one whose multiples are spread best: the
/// unevenness of the distances grows with the partial quotients of step / lap, which for the golden ratio itself are all 1.
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

pub(super) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
