//! Subsets: each of many balancers uses a part of the backends, and together they use all of them evenly.
//!
//! A thousand balancers with a connection, a health check or a pool to each of a thousand backends have a million of
//! them. Deterministic subsetting reduces that: the backends of a tier form a circle in the order of a hash of their
//! identity, and balancer number i uses `size` neighbours from the point i * golden ratio of the circle on.
//!
//! - Multiples of the golden ratio are spread evenly whatever their number (the three-gap theorem), so each backend is
//!   used by nearly the same number of balancers.
//! - The number of balancers appears nowhere: one more or one less changes no subset. (Finagle's aperture divides
//!   the circle by it; the SRE book's shuffles need no number but move all backends when one is added or removed.)
//! - A backend that is added or removed changes at most two backends of a subset.
//!
//! Weights do not affect the choice. A drained backend is not chosen; an unhealthy one may be.

use crate::hash::{mix, scale};

/// Which part of the backends a balancer uses.
#[doc(alias = "aperture", alias = "deterministic subsetting")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subset {
    /// This balancer's number: different for each balancer, from 0, without large gaps.
    pub index: u64,
    /// How many backends of each tier it uses; all of a smaller tier.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "deserialize_size"))]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub size: u32,
}

#[cfg(feature = "serde")]
fn deserialize_size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let size: std::num::NonZeroU32 = serde::Deserialize::deserialize(deserializer)?;
    Ok(size.get())
}

/// 2^64 / golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Subset {
    /// `size` backends of each tier for balancer number `index`. 0 means 1, because a balancer needs a backend.
    pub const fn new(index: u64, size: u32) -> Self {
        Self {
            index,
            size: if size == 0 { 1 } else { size },
        }
    }

    /// The chosen backends of those with the identities `ids`, in their order.
    pub(crate) fn choose(self, ids: &[u64]) -> Vec<usize> {
        let size = self.size as usize;
        if ids.len() <= size {
            return (0..ids.len()).collect();
        }
        let mut circle: Vec<usize> = (0..ids.len()).collect();
        circle.sort_by_key(|&i| (mix(ids[i]), ids[i]));
        let start = scale(self.index.wrapping_mul(GOLDEN), ids.len());
        let around = circle.iter().cycle().skip(start);
        let mut chosen: Vec<usize> = around.take(size).copied().collect();
        chosen.sort_unstable();
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ids(n: u64) -> Vec<u64> {
        (0..n).map(|i| mix(i + 1)).collect()
    }

    #[test]
    fn few_backends_are_all_used() {
        assert_eq!(Subset::new(7, 5).choose(&ids(5)), [0, 1, 2, 3, 4]);
        assert_eq!(Subset::new(7, 5).choose(&[]), [0; 0]);
    }

    proptest! {
        #[test]
        #[cfg_attr(miri, ignore = "arithmetic alone: Miri is slow and finds nothing there")]
        fn balancers_spread_evenly_over_backends(
            balancers in 1..300_u64,
            backends in 1..200_u64,
            size in 1..50_u32,
        ) {
            let ids = ids(backends);
            let mut used = vec![0_i64; ids.len()];
            for index in 0..balancers {
                let chosen = Subset::new(index, size).choose(&ids);
                prop_assert_eq!(chosen.len(), ids.len().min(size as usize));
                chosen.into_iter().for_each(|i| used[i] += 1);
            }
            let [least, most] = [used.iter().min(), used.iter().max()].map(Option::unwrap);
            // The largest difference in these ranges, found by trying all; it grows with the logarithm of the balancers.
            prop_assert!(most - least <= 5, "{least} to {most}");
        }

        #[test]
        #[cfg_attr(miri, ignore = "arithmetic alone: Miri is slow and finds nothing there")]
        fn one_backend_more_or_less_changes_two_of_a_subset(
            index in any::<u64>(),
            backends in 2..200_u64,
            size in 1..50_u32,
            gone in any::<proptest::sample::Index>(),
        ) {
            let all = ids(backends);
            let mut fewer = all.clone();
            fewer.remove(gone.index(all.len()));
            let chosen = |ids: &[u64]| -> BTreeSet<u64> {
                let chosen = Subset::new(index, size).choose(ids);
                chosen.into_iter().map(|i| ids[i]).collect()
            };
            let (before, after) = (chosen(&all), chosen(&fewer));
            prop_assert!(after.difference(&before).count() <= 2);
        }
    }
}
