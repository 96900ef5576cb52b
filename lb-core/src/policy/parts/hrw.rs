//! Highest random weight: for every key an order of all backends, by weight.
//!
//! Each backend draws u in (0, 1) from its identity and the key, and the lowest -ln(u) / weight wins: the first of
//! exponential clocks with the weights as rates, so shares follow the weights exactly (Schindelhauer and
//! Schomaker, "Weighted Distributed Hash Tables", SPAA 2005).
//!
//! The arithmetic is additions, multiplications and divisions of `f64`, which IEEE 754 rounds alike everywhere. The
//! `ln` of a platform's library may differ in the last bit, and then replicas would disagree.

use std::f64::consts::{LN_2, SQRT_2};

use crate::hash::mix;
use crate::pick::context::PickContext;
use crate::policy::parts::bound::Bound;
use crate::tiers::tier::{BackendIndex, Tier};

#[derive(Debug)]
pub(crate) struct Hrw {
    candidates: Box<[Candidate]>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: u64,
    per_weight: f64,
}

impl Hrw {
    /// The backends of `tier` under the identities `ids`.
    pub(crate) fn new(tier: &Tier, ids: &[u64]) -> Self {
        let candidates = ids
            .iter()
            .zip(tier.weights())
            .map(|(&id, weight)| Candidate {
                id,
                per_weight: 1.0 / f64::from(weight.get()),
            });
        Self {
            candidates: candidates.collect(),
        }
    }

    /// The first backend in the order of a key with the hash `hash` that is below its bound; where none is, the first that
    /// is eligible. O(n), some nanoseconds a backend.
    pub(crate) fn first(
        &self,
        cx: &PickContext<'_>,
        hash: u64,
        bound: &Bound,
    ) -> Option<BackendIndex> {
        self.first_where(hash, |i| bound.admits(cx, i))
            .or_else(|| self.first_where(hash, |i| cx.is_eligible(i)))
    }

    fn first_where(
        &self,
        hash: u64,
        accept: impl Fn(BackendIndex) -> bool,
    ) -> Option<BackendIndex> {
        let mut first = None;
        let mut least = (f64::INFINITY, u64::MAX);
        for (i, candidate) in (0..).zip(&self.candidates) {
            let u = unit(mix(hash ^ candidate.id));
            // -ln(u) is above 1 - u, which nearly always shows that the backend is not the first.
            if (1.0 - u) * candidate.per_weight > least.0 {
                continue;
            }
            let cost = (minus_ln(u) * candidate.per_weight, candidate.id);
            let i = BackendIndex::new(i);
            if cost < least && accept(i) {
                (first, least) = (Some(i), cost);
            }
        }
        first
    }

    /// Identities and weights in the order of identities.
    pub(crate) fn by_identity(&self) -> impl Iterator<Item = [u64; 2]> {
        let as_bits = |candidate: &Candidate| [candidate.id, candidate.per_weight.to_bits()];
        let mut candidates: Vec<_> = self.candidates.iter().map(as_bits).collect();
        candidates.sort_unstable();
        candidates.into_iter()
    }

    /// The identity of the backend at `i`.
    pub(crate) fn id(&self, i: u32) -> u64 {
        self.candidates
            .get(i as usize)
            .map_or(0, |candidate| candidate.id)
    }
}

/// A number in (0, 1), exactly: 52 bits and a half.
fn unit(hash: u64) -> f64 {
    ((hash >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// -ln of a normal `u` in (0, 1), to within 1e-15 of its value.
fn minus_ln(u: f64) -> f64 {
    const EXPONENT_BITS: u32 = 52;
    const ONE: u64 = 1023;
    let bits = u.to_bits();
    let mut exponent = (bits >> EXPONENT_BITS) as f64 - ONE as f64;
    let mantissa = bits & ((1 << EXPONENT_BITS) - 1);
    let mut m = f64::from_bits(mantissa | (ONE << EXPONENT_BITS));
    if m > SQRT_2 {
        m *= 0.5;
        exponent += 1.0;
    }
    // ln(m) = 2 artanh(s), with |s| < 0.172: twelve terms reach the last bit.
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let series = (0..12)
        .rev()
        .fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    -(exponent * LN_2 + 2.0 * s * series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_logarithm_is_the_same_to_the_last_bit_everywhere() {
        for (u, bits) in [
            (0.5, 0x3fe6_2e42_fefa_39ef_u64),
            (1e-9, 0x4034_b927_f32b_ffb8),
            (0.1, 0x4002_6bb1_bbb5_5515),
            (0.75, 0x3fd2_6962_1134_db92),
            (0.999_999, 0x3eb0_c6f8_2d74_d22f),
        ] {
            let found = minus_ln(u).to_bits();
            assert_eq!(found, bits, "{u}: {found:#x}");
        }
    }

    proptest! {
        #[test]
        #[cfg_attr(miri, ignore = "arithmetic alone: Miri is slow and finds nothing there")]
        fn the_logarithm_is_near_the_platforms(hash in any::<u64>(), low in 0..53_u32) {
            for u in [unit(hash), unit(hash >> low), 1.0 - unit(hash >> low)] {
                prop_assume!(u < 1.0);
                let (ours, theirs) = (minus_ln(u), -u.ln());
                prop_assert!((ours - theirs).abs() <= 1e-15 * theirs, "{u}: {ours} {theirs}");
                prop_assert!(ours >= (1.0 - u) * (1.0 - 1e-15));
            }
        }
    }
}
