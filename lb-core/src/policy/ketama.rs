//! nginx's `hash key consistent`: the ketama ring.
//!
//! Every configured server name owns 160 points for each unit of its weight on a circle of 32-bit hashes; a key goes
//! to the first point at or after its CRC-32. The points are `crc32(HOST "\0" PORT PREVIOUS)`, PREVIOUS being the
//! point before as four little-endian bytes, at first 0; where two names have one point, the first in the snapshot's
//! order keeps it. HOST is [`Backend::name`](field@crate::Backend::name), or without one the address (IPv6 in brackets).
//! Backends of one name and port share its points and take turns by weight. All this is
//! `ngx_stream_upstream_hash_module.c`, compatible with Cache::Memcached::Fast: the same key goes to the same server
//! as with nginx.
//!
//! If the backends of a point are not eligible, the next point is used. After 21 points, and for a connection without a
//! key, smooth weighted round robin decides. (nginx keeps the points of a server that is `down`; here a draining backend
//! is not in the tier. Keys go to the same backends, except where the points of a `down` server count towards the 21.) With a
//! [bound](BalanceFactor), which nginx does not have, the [rendezvous](crate::policy::Rendezvous) of the backends below it
//! decides after 21 points.
//!
//! Cost: O(1) a pick plus an eligibility check for each member of a shared name; 5 to 16 bytes a point, the fewer the
//! more there are, and 4 bytes a backend. A backend that joins or leaves moves its own keys and no others, and an update that changes
//! few names copies the ring instead of sorting it.
//!
//! Not where the spread must be tight: measured with 160 points each, the fullest of 10 equal backends has 1.10 times
//! the mean, of 100 1.28 times, of 1000 1.29 times ([`Maglev`](crate::policy::Maglev) has it near the mean). Not for
//! large sums of weights, which make large rings.

mod change;
mod names;

use std::any::Any;

use change::change;
use names::{Names, points};

use crate::hash::{Crc32, fold, xxh64};
use crate::pick::context::PickContext;
use crate::policy::parts::bound::{BalanceFactor, Bound};
use crate::policy::parts::hrw::Hrw;
use crate::policy::parts::ring::Ring;
use crate::policy::parts::sequence::Sequence;
use crate::policy::{Picker, Policy, Tracking};
use crate::tiers::identity::identities;
use crate::tiers::tier::{BackendIndex, Tier};

/// How many points are tried; nginx's 20 beyond the first.
const MISSES: usize = 21;
/// How many turns among the backends of one name may be passed over.
const MAX_TURNS: u64 = 4096;

/// nginx's consistent hashing.
#[doc(alias = "consistent", alias = "continuum")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ketama {
    /// The most points of the ring. Default: 2097152.
    max_points: u32,
    /// How far above its share a backend may go, in percent. Default: no bound.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "balance_factor", alias = "hash_balance_factor")
    )]
    factor: BalanceFactor,
}

impl Ketama {
    /// The default of [`max_points`](Self::max_points): 2^21, rings as nginx's up to 13107 units of weight.
    pub const DEFAULT_MAX_POINTS: u32 = 1 << 21;

    /// nginx's ring, for sums of weights that are not huge.
    pub const fn new() -> Self {
        Self {
            max_points: Self::DEFAULT_MAX_POINTS,
            factor: BalanceFactor::NONE,
        }
    }

    /// Bounds how far above its share a backend may go, which nginx does not offer. Default: [`BalanceFactor::NONE`].
    #[must_use]
    pub const fn balance_factor(mut self, factor: BalanceFactor) -> Self {
        self.factor = factor;
        self
    }

    /// Bounds the ring, which nginx does not: where 160 points for each unit of weight are more than `max_points`,
    /// all names get proportionally fewer, at least one each, and keys no longer go where nginx sends them.
    #[must_use]
    pub const fn max_points(mut self, max_points: u32) -> Self {
        self.max_points = max_points;
        self
    }
}

impl Default for Ketama {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for Ketama {
    fn name(&self) -> &'static str {
        "ketama"
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        self.factor.settings_with([("max_points", self.max_points)])
    }

    fn tracking(&self, _tier: &Tier) -> Tracking {
        self.factor.tracking()
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        let names = Names::new(tier);
        let numbers = names.numbers_of_points(tier, self.max_points.into());
        let owners = names.firsts().zip(&numbers);
        let ring = Ring::new(
            owners
                .flat_map(|(i, &number)| points(tier, i, number))
                .collect(),
        );
        Box::new(self.picker(tier, names, numbers, ring))
    }

    fn recompile(&self, tier: &Tier, former: &dyn Picker, of: &Tier) -> Box<dyn Picker> {
        let former: &dyn Any = former;
        let edited = former.downcast_ref::<KetamaPicker>().and_then(|former| {
            let names = Names::new(tier);
            let numbers = names.numbers_of_points(tier, self.max_points.into());
            let before = (of, &*former.numbers);
            let change = change(before, (tier, &names, &numbers), former.ring.len() / 4)?;
            let ring = former.ring.edit(change)?;
            Some(self.picker(tier, names, numbers, ring))
        });
        match edited {
            Some(picker) => Box::new(picker),
            None => self.compile(tier),
        }
    }
}

impl Ketama {
    fn picker(&self, tier: &Tier, names: Names, numbers: Vec<u32>, ring: Ring) -> KetamaPicker {
        let mut of_backends = vec![0; tier.len().get() as usize];
        for (first, number) in names.firsts().zip(numbers) {
            of_backends[first.as_usize()] = number;
        }
        let mut shared = Vec::new();
        for (first, members) in names.into_shared() {
            shared.resize_with(of_backends.len(), || None);
            shared[first.as_usize()] = Some(Box::new(SharedName::new(tier, members)));
        }
        let has_bound = self.factor != BalanceFactor::NONE;
        KetamaPicker {
            ring,
            shared: shared.into(),
            bound: Bound::new(self.factor, tier),
            hrw: has_bound.then(|| Hrw::new(tier, &identities(tier))),
            turns: Sequence::new(tier.weights()),
            numbers: of_backends.into(),
        }
    }
}

#[derive(Debug)]
struct KetamaPicker {
    /// Points are owned by the first backend of each name.
    ring: Ring,
    /// By the first backend of the name. Empty where no name is shared.
    shared: Box<[Option<Box<SharedName>>]>,
    bound: Bound,
    /// With a bound only.
    hrw: Option<Hrw>,
    turns: Sequence,
    /// How many points each name has, at its first backend.
    numbers: Box<[u32]>,
}

impl KetamaPicker {
    #[inline]
    fn pick_of_name(&self, cx: &PickContext<'_>, first: BackendIndex) -> Option<BackendIndex> {
        match self.shared.get(first.as_usize()) {
            Some(Some(shared)) => shared.pick(cx, first, &self.bound),
            _ => Some(first).filter(|&i| self.bound.admits(cx, i)),
        }
    }

    /// A backend of the next names, for a key whose own name has none to pick.
    #[cold]
    fn replacement(&self, cx: &PickContext<'_>, hash: u32) -> Option<BackendIndex> {
        let mut others = self.ring.owners_from(hash).take(MISSES).skip(1);
        others.find_map(|first| self.pick_of_name(cx, first))
    }
}

impl Picker for KetamaPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        if let Some(key) = cx.key() {
            let hash = Crc32::new().update(key).finish();
            let found = self
                .pick_of_name(cx, self.ring.owner(hash))
                .or_else(|| self.replacement(cx, hash));
            if found.is_some() {
                return found;
            }
            if let Some(hrw) = &self.hrw {
                return hrw.first(cx, xxh64(key, 0), &self.bound);
            }
        }
        self.turns.next(cx)
    }

    fn digest(&self, tier: &Tier) -> Option<u64> {
        let owners = Names::new(tier).digests(tier, &identities(tier));
        let points = self.ring.points();
        let points = points.flat_map(|(hash, first)| [hash.into(), owners[first as usize]]);
        let candidates = self.hrw.iter().flat_map(Hrw::by_identity).flatten();
        Some(fold(points.chain(candidates)))
    }

    fn admits(&self, cx: &PickContext<'_>, i: BackendIndex) -> bool {
        self.bound.admits_any(cx, i)
    }
}

/// Backends of one name, which take turns.
#[derive(Debug)]
struct SharedName {
    members: Box<[BackendIndex]>,
    turns: Sequence,
}

impl SharedName {
    fn new(tier: &Tier, members: Vec<BackendIndex>) -> Self {
        Self {
            turns: Sequence::new(members.iter().map(|&i| tier.weight(i))),
            members: members.into(),
        }
    }

    fn pick(
        &self,
        cx: &PickContext<'_>,
        first: BackendIndex,
        bound: &Bound,
    ) -> Option<BackendIndex> {
        let eligible = |i: &BackendIndex| bound.admits(cx, *i);
        let any = self.members.iter().copied().find(eligible)?;
        // Turns of backends that are not eligible are passed over. Where a lap finds none, other threads took the last
        // connections meanwhile.
        let turns = 0..self.turns.lap().min(MAX_TURNS);
        turns
            .map(|_| self.members[self.turns.turn(cx.ticket_of(first)).as_usize()])
            .find(eligible)
            .or(Some(any))
    }
}
