//! nginx's smooth weighted order.

use std::collections::BTreeMap;

use crate::policy::parts::indices::Indices;

/// How many steps an order of the different weights may take to compute: a millisecond or two.
const MAX_STEPS: u64 = 1 << 21;

/// nginx's order: in every turn each backend gains its weight; the one with the highest sum is chosen and pays the sum of
/// all weights.
pub(super) fn smooth_order(weights: &[u64], lap: u64) -> impl Iterator<Item = u32> {
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

/// The smooth order of the different weights, in which the backends of one weight take its turns one after the other.
/// `None` if that takes too many steps.
pub(super) fn by_weight(weights: &[u64], lap: u64) -> Option<Indices> {
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
    Some(Indices::new(turns.copied().collect()))
}
