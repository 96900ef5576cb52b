//! Maglev: a table from hashes to backends, even and nearly minimal in disruption.
//!
//! Every backend has a permutation of the table's slots that follows from its identity, and they take turns claiming
//! the next free slot of theirs until the table is full (Eisenbud et al., "Maglev: A Fast and Reliable Software
//! Network Load Balancer", NSDI 2016, section 3.4). A key's hash is a slot. Weights are honoured by accumulation, as in
//! katran's second version: each turn adds the weight to a backend's account, and the heaviest weight pays for a
//! slot.
//!
//! A key whose backend is not eligible, or above its [bound](BalanceFactor), is hashed again, up to 20 times; then the
//! [rendezvous](crate::policy::Rendezvous) of the eligible backends decides. So the keys of a missing backend spread over the
//! others by weight. Each keeps its replacement while the same backends are missing, and no other key moves.
//!
//! Hashes are XXH64: that of the identity (`name:port`, or the address where the name is absent or shared) is h1 of the paper's
//! permutation, that of h1 under the seed 1 is h2. The last backend of a name that others shared is identified by the name
//! again, which moves its keys once. Backends take turns in the order of h1, so every
//! replica has the same table whatever the order of its snapshot; compare
//! [digests](crate::Balancer::digests) to be sure of it.
//!
//! Cost: O(1) a pick; 2 bytes a slot (4 for more than 65536 backends) and 20 a backend. Compiling takes about
//! M ln M steps for M slots. The last slots would take half of them, and are found by arithmetic instead.
//!
//! # Figures
//!
//! Equal backends own numbers of slots that differ by one at most, so the fullest of 1000 is 0.7 % above the mean
//! in the default table.
//!
//! Section 5.3 of the paper compares tables of these two sizes for 1000 backends, filled by Maglev, by Karger's ring and by
//! rendezvous. It finds Maglev nearly even in both, and gives the load above the mean that backends must take with the
//! others. Beside that is what these methods give with our hashes: the fewest and the most slots of a backend in percent of
//! the mean, the ring with 1000 points a backend
//! (`cargo test --release -p lb-core --lib -- --ignored --nocapture figures`):
//!
//! | slots | Maglev | ring | in the paper | rendezvous | in the paper |
//! |---|---|---|---|---|---|
//! | 65537 | 99.2 to 100.7 | 58.0 to 135.8 | to 129.7 | 59.5 to 145.0 | to 149.5 |
//! | 655373 | 99.9 to 100.1 | 83.3 to 113.7 | to 110.3 | 86.7 to 112.5 | to 112.3 |
//!
//! Its other measure, shown as a plot, is the share of entries that change when backends fail at the same time. With ring
//! and rendezvous only the entries of the failed backends change; with this table, of 1000 backends:
//!
//! | slots | 1 fails | 5 | 10 | 20 | 50 | 100 |
//! |---|---|---|---|---|---|---|
//! | 65537 | 0.70 % | 2.32 % | 3.27 % | 4.66 % | 8.25 % | 13.58 % |
//! | 655373 | 0.43 % | 0.98 % | 1.57 % | 2.71 % | 5.90 % | 11.04 % |
//! | of the failed | 0.10 % | 0.50 % | 1.00 % | 2.00 % | 5.00 % | 10.00 % |
//!
//! Keys that move when backends leave for good, of 400,000
//! (`cargo test --release -p lb-core --test behaviour -- --ignored --nocapture figures`):
//!
//! | slots | backends | one leaves: keys moved | of which its own | a tenth leaves: keys moved | their own |
//! |---|---|---|---|---|---|
//! | 65537 | 10 | 10.36 % | 10.05 % | 10.36 % | 10.05 % |
//! | 65537 | 100 | 1.61 % | 1.03 % | 10.99 % | 10.05 % |
//! | 65537 | 1000 | 0.64 % | 0.11 % | 13.59 % | 9.99 % |
//! | 655373 | 10 | 10.14 % | 10.08 % | 10.14 % | 10.08 % |
//! | 655373 | 100 | 1.15 % | 1.00 % | 10.33 % | 10.00 % |
//! | 655373 | 1000 | 0.43 % | 0.10 % | 11.04 % | 9.99 % |
//!
//! The larger the table, the fewer keys move without need; ten times the slots take about ten times as long to compile. (In
//! the paper 1.8 and 22.9 ms.)
//!
//! Not for more backends than a hundredth of the slots where the spread must be tight, and not for more backends than
//! slots, where some have none. Not where no key may move but those of the backend that left
//! ([`Rendezvous`](crate::policy::Rendezvous), [`Ketama`](crate::policy::Ketama)).

use crate::hash::{fold, mix, scale, xxh64};
use crate::pick::context::PickContext;
use crate::policy::parts::bound::{BalanceFactor, Bound};
use crate::policy::parts::hrw::Hrw;
use crate::policy::parts::indices::Indices;
use crate::policy::parts::sequence::Sequence;
use crate::policy::size_error::SizeError;
use crate::policy::{Picker, Policy, Tracking};
use crate::tiers::identity::identities;
use crate::tiers::tier::{BackendIndex, Tier};

/// How often a key is hashed again.
const REHASHES: usize = 20;

/// Google's Maglev hashing, by weight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Maglev {
    /// The slots of the table: a prime up to 5000011, better a hundred or more for each backend. Default: 65537.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "deserialize_table_size"))]
    table_size: u32,
    /// How far above its share a backend may go, in percent. Default: no bound.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "balance_factor", alias = "hash_balance_factor")
    )]
    factor: BalanceFactor,
}

#[cfg(feature = "serde")]
fn deserialize_table_size<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<u32, D::Error> {
    let size = serde::Deserialize::deserialize(deserializer)?;
    let maglev = Maglev::try_new(size).map_err(serde::de::Error::custom)?;
    Ok(maglev.table_size)
}

impl Maglev {
    /// The paper's smaller table, and Envoy's default: 65537 slots.
    pub const DEFAULT_TABLE_SIZE: u32 = 65_537;
    /// Envoy's limit.
    pub const MAX_TABLE_SIZE: u32 = 5_000_011;

    /// A table of 65537 slots.
    pub const fn new() -> Self {
        Self {
            table_size: Self::DEFAULT_TABLE_SIZE,
            factor: BalanceFactor::NONE,
        }
    }

    /// A table of `size` slots, better a hundred or more for each backend. Replicas must have the same.
    ///
    /// # Errors
    ///
    /// If `size` is no prime, or above [`MAX_TABLE_SIZE`](Self::MAX_TABLE_SIZE).
    pub const fn try_new(size: u32) -> Result<Self, SizeError> {
        if size > Self::MAX_TABLE_SIZE || !is_prime(size) {
            return Err(SizeError::Table {
                slots: size,
                limit: Self::MAX_TABLE_SIZE,
            });
        }
        Ok(Self {
            table_size: size,
            factor: BalanceFactor::NONE,
        })
    }

    /// Bounds how far above its share a backend may go. Default: [`BalanceFactor::NONE`].
    #[must_use]
    pub const fn balance_factor(mut self, factor: BalanceFactor) -> Self {
        self.factor = factor;
        self
    }
}

impl Default for Maglev {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for Maglev {
    fn name(&self) -> &'static str {
        "maglev"
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        self.factor.settings_with([("table_size", self.table_size)])
    }

    fn tracking(&self, _tier: &Tier) -> Tracking {
        self.factor.tracking()
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        let ids = identities(tier);
        Box::new(MaglevPicker {
            table: table::table(tier, &ids, self.table_size),
            hrw: Hrw::new(tier, &ids),
            bound: Bound::new(self.factor, tier),
            turns: Sequence::new(tier.weights()),
        })
    }
}

#[derive(Debug)]
struct MaglevPicker {
    table: Indices,
    hrw: Hrw,
    bound: Bound,
    turns: Sequence,
}

impl MaglevPicker {
    #[inline]
    fn owner(&self, hash: u64) -> BackendIndex {
        BackendIndex::new(self.table.get(scale(hash, self.table.len())))
    }

    /// The backend of a key whose own is not eligible or above its bound.
    #[cold]
    fn replacement(&self, cx: &PickContext<'_>, hash: u64) -> Option<BackendIndex> {
        let probe = |hash: &u64| Some(mix(hash.wrapping_add(1)));
        let probes = std::iter::successors(probe(&hash), probe);
        let mut owners = probes.take(REHASHES).map(|hash| self.owner(hash));
        owners
            .find(|&i| self.bound.admits(cx, i))
            .or_else(|| self.hrw.first(cx, hash, &self.bound))
    }
}

impl Picker for MaglevPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let Some(key) = cx.key() else {
            return self.turns.next(cx);
        };
        let hash = xxh64(key, 0);
        let owner = self.owner(hash);
        if self.bound.admits(cx, owner) {
            return Some(owner);
        }
        self.replacement(cx, hash)
    }

    fn digest(&self, _tier: &Tier) -> Option<u64> {
        let slots = self.table.iter().map(|i| self.hrw.id(i));
        Some(fold(slots.chain(self.hrw.by_identity().flatten())))
    }

    fn admits(&self, cx: &PickContext<'_>, i: BackendIndex) -> bool {
        self.bound.admits_any(cx, i)
    }
}

const fn is_prime(n: u32) -> bool {
    let mut divisor = 2;
    while divisor * divisor <= n {
        if n.is_multiple_of(divisor) {
            return false;
        }
        divisor += 1;
    }
    n >= 2
}

mod table;
#[cfg(test)]
mod tests;
