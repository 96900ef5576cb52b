//! Ring hash: consistent hashing on a circle.
//!
//! Every backend owns points on a circle of hashes, in number by its weight, and a key goes to the first point at or
//! after its own hash (Karger et al., "Consistent Hashing and Random Trees", STOC 1997). If the backend of a point is not
//! eligible, or above its [bound](BalanceFactor), the next point is used. After 20 points the
//! [rendezvous](crate::policy::Rendezvous) of the eligible backends decides, so a key keeps its replacement for as long
//! as it needs one.
//!
//! The number of points is Envoy's: the lightest backend gets as many as its share of the minimum ring size, rounded
//! up, and the others in proportion; the maximum ring size bounds the sum. Envoy's defaults are a minimum of 1024 and a
//! maximum of 8388608. Points and keys are XXH64, of which the upper 32 bits count; point j of a backend is that of j
//! under the seed XXH64(identity), the identity being `name:port`, or the address where the name is absent or shared.
//! So every replica has the same ring whatever the order of its snapshot.
//!
//! Cost: O(1) a pick; 5 to 16 bytes a point, the fewer the more there are.
//!
//! Not where the spread must be tight. Measured with the default sizes and equal weights, the fullest of 10 backends
//! has 1.16 times the mean, of 100 (11 points each) 1.86 times, of 1000 (2 points) 5.7 times; a minimum of 2^20 brings
//! 1000 to 1.12. Nor where only a leaving backend's keys may move: the others get another number of points when n
//! changes, and one of 10 moves 17 % instead of 10 %. [`Maglev`](crate::policy::Maglev) and
//! [`Ketama`](crate::policy::Ketama) do better at spread and at moved keys respectively.

use crate::hash::{fold, xxh64};
use crate::pick::context::PickContext;
use crate::policy::parts::bound::{BalanceFactor, Bound};
use crate::policy::parts::hrw::Hrw;
use crate::policy::parts::ring::Ring;
use crate::policy::parts::sequence::Sequence;
use crate::policy::size_error::SizeError;
use crate::policy::{Picker, Policy, Tracking};
use crate::tiers::identity::{identities, in_order};
use crate::tiers::tier::{BackendIndex, Tier};

/// How many points are tried.
const MISSES: usize = 20;

/// Consistent hashing as Envoy's `RING_HASH`.
#[doc(alias = "consistent", alias = "continuum")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Sizes", into = "Sizes"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RingHash {
    min_size: u32,
    max_size: u32,
    factor: BalanceFactor,
}

/// Consistent hashing as Envoy's `RING_HASH`, in files.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "RingHash"))]
#[serde(default, deny_unknown_fields)]
struct Sizes {
    /// The fewest points of the ring. Default: 1024.
    #[serde(alias = "minimum_ring_size")]
    min_size: u32,
    /// About the most points of the ring, at most 8388608. Default: 8388608.
    #[serde(alias = "maximum_ring_size")]
    max_size: u32,
    /// How far above its share a backend may go, in percent. Default: no bound.
    #[serde(alias = "hash_balance_factor")]
    balance_factor: BalanceFactor,
}

#[cfg(feature = "serde")]
impl Default for Sizes {
    fn default() -> Self {
        RingHash::new().into()
    }
}

#[cfg(feature = "serde")]
impl From<RingHash> for Sizes {
    fn from(ring: RingHash) -> Self {
        Self {
            min_size: ring.min_size,
            max_size: ring.max_size,
            balance_factor: ring.factor,
        }
    }
}

#[cfg(feature = "serde")]
impl TryFrom<Sizes> for RingHash {
    type Error = SizeError;

    fn try_from(sizes: Sizes) -> Result<Self, SizeError> {
        let ring = Self::try_new(sizes.min_size, sizes.max_size)?;
        Ok(ring.balance_factor(sizes.balance_factor))
    }
}

impl RingHash {
    /// Envoy's `minimum_ring_size`.
    pub const DEFAULT_MIN_SIZE: u32 = 1024;
    /// Envoy's `maximum_ring_size`, and its limit.
    pub const MAX_SIZE: u32 = 8 << 20;

    /// A ring of Envoy's default sizes.
    pub const fn new() -> Self {
        Self {
            min_size: Self::DEFAULT_MIN_SIZE,
            max_size: Self::MAX_SIZE,
            factor: BalanceFactor::NONE,
        }
    }

    /// A ring of at least `min` and about at most `max` points: every backend has one at least.
    ///
    /// # Errors
    ///
    /// If `min` is above `max`, or `max` above [`MAX_SIZE`](Self::MAX_SIZE).
    pub const fn try_new(min: u32, max: u32) -> Result<Self, SizeError> {
        if min > max || max > Self::MAX_SIZE {
            return Err(SizeError::Ring {
                min,
                max,
                limit: Self::MAX_SIZE,
            });
        }
        Ok(Self {
            min_size: min,
            max_size: max,
            factor: BalanceFactor::NONE,
        })
    }

    /// Bounds how far above its share a backend may go. Default: [`BalanceFactor::NONE`].
    #[must_use]
    pub const fn balance_factor(mut self, factor: BalanceFactor) -> Self {
        self.factor = factor;
        self
    }

    /// How many points each unit of weight gets, as a fraction.
    fn scale(self, tier: &Tier) -> (u64, u64) {
        let weights = || tier.weights().map(|weight| u64::from(weight.get()));
        let sum: u64 = weights().sum();
        let lightest = weights().min().unwrap_or(1);
        let points = (lightest * u64::from(self.min_size)).div_ceil(sum).max(1);
        if points * sum > u64::from(self.max_size) * lightest {
            (self.max_size.into(), sum)
        } else {
            (points, lightest)
        }
    }

    fn ring(self, tier: &Tier, ids: &[u64]) -> Ring {
        let (numerator, denominator) = self.scale(tier);
        // Where two backends have one point, the lower identity keeps it, whatever the order of the snapshot.
        let order = in_order(ids);
        let mut points = Vec::new();
        for (rank, &i) in (0..).zip(&order) {
            let weight = u64::from(tier.weight(i).get());
            for j in 0..(weight * numerator).div_ceil(denominator).max(1) {
                let hash = xxh64(&j.to_le_bytes(), ids[i.as_usize()]);
                points.push(Ring::point(upper(hash), rank));
            }
        }
        Ring::with_owners(points, |rank| order[rank as usize])
    }
}

impl Default for RingHash {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for RingHash {
    fn name(&self) -> &'static str {
        "ring_hash"
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        self.factor
            .settings_with([("min_size", self.min_size), ("max_size", self.max_size)])
    }

    fn tracking(&self, _tier: &Tier) -> Tracking {
        self.factor.tracking()
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        let ids = identities(tier);
        Box::new(RingHashPicker {
            ring: self.ring(tier, &ids),
            hrw: Hrw::new(tier, &ids),
            bound: Bound::new(self.factor, tier),
            turns: Sequence::new(tier.weights()),
        })
    }
}

#[derive(Debug)]
struct RingHashPicker {
    ring: Ring,
    hrw: Hrw,
    bound: Bound,
    turns: Sequence,
}

impl RingHashPicker {
    /// The backend of a key whose own is not eligible or above its bound.
    #[cold]
    fn replacement(&self, cx: &PickContext<'_>, hash: u64) -> Option<BackendIndex> {
        let mut others = self.ring.owners_from(upper(hash)).take(MISSES).skip(1);
        others
            .find(|&i| self.bound.admits(cx, i))
            .or_else(|| self.hrw.first(cx, hash, &self.bound))
    }
}

impl Picker for RingHashPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let Some(key) = cx.key() else {
            return self.turns.next(cx);
        };
        let hash = xxh64(key, 0);
        let owner = self.ring.owner(upper(hash));
        if self.bound.admits(cx, owner) {
            return Some(owner);
        }
        self.replacement(cx, hash)
    }

    fn digest(&self, _tier: &Tier) -> Option<u64> {
        let points = self.ring.points();
        let numbers = points.flat_map(|(hash, owner)| [hash.into(), self.hrw.id(owner)]);
        Some(fold(numbers.chain(self.hrw.by_identity().flatten())))
    }

    fn admits(&self, cx: &PickContext<'_>, i: BackendIndex) -> bool {
        self.bound.admits_any(cx, i)
    }
}

const fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}
