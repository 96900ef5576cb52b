//! Filling Maglev's table.

use crate::hash::{scale, xxh64};
use crate::policy::parts::indices::Indices;
use crate::tiers::identity::in_order;
use crate::tiers::tier::Tier;

/// The owner of each of `size` slots.
pub(super) fn table(tier: &Tier, ids: &[u64], size: u32) -> Indices {
    let order = in_order(ids);
    let sorted: Vec<u64> = order.iter().map(|i| ids[i.as_usize()]).collect();
    let weights: Vec<u64> = order.iter().map(|&i| tier.weight(i).get().into()).collect();
    let mut owners = owners(&sorted, &weights, size);
    for owner in &mut owners {
        *owner = order[*owner as usize].get();
    }
    Indices::new(owners)
}

/// The owners among backends with these identities and weights.
pub(super) fn owners(ids: &[u64], weights: &[u64], size: u32) -> Vec<u32> {
    let mut walks: Vec<Walk> = ids.iter().map(|&id| Walk::new(id, size)).collect();
    let mut owners = vec![0; size as usize];
    // Most of the work is the search for a free slot, so the bits that say which are free should be in the cache.
    let mut taken = vec![0_u64; size.div_ceil(64) as usize];
    let is_taken = |taken: &[u64], slot: u32| taken[slot as usize / 64] >> (slot % 64) & 1 == 1;
    let claims = claims(weights, size as usize);
    let (most, last) = claims.split_at(claims.len() - few(size));
    for &rank in most {
        let slot = walks[rank as usize].first_but(|slot| is_taken(&taken, slot), size);
        taken[slot as usize / 64] |= 1 << (slot % 64);
        owners[slot as usize] = rank;
    }
    let mut free: Vec<u32> = (0..size).filter(|&slot| !is_taken(&taken, slot)).collect();
    for &rank in last {
        let at = walks[rank as usize].first_of(&free, size);
        owners[free.swap_remove(at) as usize] = rank;
    }
    owners
}

/// Up to this many free slots, reading each of them costs less than to walk until one is met, which takes `size` steps
/// for all of them together.
fn few(size: u32) -> usize {
    size.isqrt() as usize / 4
}

/// A backend's order of all slots: the paper's permutation.
#[derive(Debug)]
pub(super) struct Walk {
    slot: u32,
    skip: u32,
}

impl Walk {
    pub(super) fn new(id: u64, size: u32) -> Self {
        let skips = size.saturating_sub(1).max(1) as usize;
        Self {
            slot: scale(id, size as usize) as u32,
            skip: 1 + scale(xxh64(&id.to_le_bytes(), 1), skips) as u32,
        }
    }

    /// Moves to the first slot from the current one on that is not `taken`; there is one.
    pub(super) fn first_but(&mut self, taken: impl Fn(u32) -> bool, size: u32) -> u32 {
        // In registers: this loop is most of the cost of filling a table.
        let Self { mut slot, skip } = *self;
        while taken(slot) {
            slot += skip;
            if slot >= size {
                slot -= size;
            }
        }
        self.slot = slot;
        slot
    }

    /// Which of the slots in `free`, of which there is at least one, comes first from the current one on. Does not move: all
    /// slots before it are taken.
    fn first_of(&self, free: &[u32], size: u32) -> usize {
        // The number of steps to a slot is its distance divided by the skip, modulo the size.
        let (here, size) = (u64::from(self.slot), u64::from(size));
        let inverse = inverse(self.skip.into(), size);
        let steps = |slot: u32| (u64::from(slot) + size - here) * inverse % size;
        let numbered = free.iter().enumerate();
        let nearest = numbered.min_by_key(|&(_, &slot)| steps(slot));
        nearest.map_or(0, |(at, _)| at)
    }
}

/// The number below the prime `modulus` whose product with `n`, which is not 0, is 1: Euclid's extended algorithm.
fn inverse(n: u64, modulus: u64) -> u64 {
    let (mut rests, mut factors) = ((modulus, n), (0, 1));
    while rests.1 > 1 {
        let quotient = rests.0 / rests.1;
        rests = (rests.1, rests.0 % rests.1);
        factors = (
            factors.1,
            (factors.0 + (modulus - quotient % modulus) * factors.1) % modulus,
        );
    }
    factors.1
}

/// The backend that claims the next slot, `size` times. In every round each account gains its weight and, once it holds the
/// heaviest weight, pays that for a claim: so the k-th claim for weight w is in round ceil(k * heaviest / w), and the
/// rounds without a claim are skipped.
pub(super) fn claims(weights: &[u64], size: usize) -> Vec<u32> {
    let sum: u64 = weights.iter().sum();
    let heaviest = weights.iter().copied().max().unwrap_or(1);
    // After so many rounds every account has claimed its share of the table, each rounded down for less than one.
    let rounds = ((size + weights.len()) as u64 * heaviest).div_ceil(sum);
    let rounds_of = |weight: u64| {
        let claims = rounds * weight / heaviest;
        rounds_of(weight, heaviest).take(claims as usize)
    };
    // A counting sort by round keeps the order of the backends within each.
    let mut next = vec![0_u32; rounds as usize + 1];
    for &weight in weights {
        for round in rounds_of(weight) {
            next[round + 1] += 1;
        }
    }
    for at in 1..next.len() {
        next[at] += next[at - 1];
    }
    let mut claims = vec![0; next.last().map_or(0, |&all| all as usize)];
    for (rank, &weight) in (0..).zip(weights) {
        for round in rounds_of(weight) {
            let at = &mut next[round];
            claims[*at as usize] = rank;
            *at += 1;
        }
    }
    claims.truncate(size);
    claims
}

/// The rounds, counted from 0, of the claims for `weight`: the quotients above, each from the one before.
fn rounds_of(weight: u64, heaviest: u64) -> impl Iterator<Item = usize> {
    let (step, part) = (heaviest / weight, heaviest % weight);
    let (mut whole, mut parts) = (0, 0);
    std::iter::repeat_with(move || {
        whole += step;
        parts += part;
        if parts >= weight {
            parts -= weight;
            whole += 1;
        }
        (whole + u64::from(parts > 0)) as usize - 1
    })
}
