//! Weighted rendezvous hashing, or highest random weight.
//!
//! For every key each backend draws a score from its identity and the key, -weight / ln(u) with u uniform in (0, 1),
//! and the highest eligible score wins (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates",
//! 1998; the weights are Schindelhauer's and Schomaker's, 2005). There is no table that could be uneven:
//! shares follow the weights exactly on average. The keys of a removed backend, and no others, move, and spread over the
//! rest by weight. A backend with growing weight only gains keys. While a backend is ejected, each of its keys has a second
//! choice of its own.
//!
//! u is made of the XXH64 of the key and of the identity (`name:port`, or the address where the name is absent or
//! shared). Scores are compared in `f64` with a logarithm of our own, so replicas agree on every platform that
//! rounds as IEEE 754 says.
//!
//! Cost: O(n) a pick, some nanoseconds a backend; 16 bytes a backend.
//!
//! Not for thousands of backends at high connection rates ([`Maglev`](crate::policy::Maglev)).

use crate::hash::{fold, xxh64};
use crate::pick::context::PickContext;
use crate::policy::parts::bound::{BalanceFactor, Bound};
use crate::policy::parts::hrw::Hrw;
use crate::policy::parts::sequence::Sequence;
use crate::policy::{Picker, Policy, Tracking};
use crate::tiers::identity::identities;
use crate::tiers::tier::{BackendIndex, Tier};

/// The highest score for the key.
#[doc(alias = "hrw", alias = "highest random weight")]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rendezvous {
    /// How far above its share a backend may go, in percent. Default: no bound.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "balance_factor", alias = "hash_balance_factor")
    )]
    factor: BalanceFactor,
}

impl Rendezvous {
    /// The policy without a bound.
    pub const fn new() -> Self {
        Self {
            factor: BalanceFactor::NONE,
        }
    }

    /// Bounds how far above its share a backend may go. Default: [`BalanceFactor::NONE`].
    #[must_use]
    pub const fn balance_factor(mut self, factor: BalanceFactor) -> Self {
        self.factor = factor;
        self
    }
}

impl Policy for Rendezvous {
    fn name(&self) -> &'static str {
        "rendezvous"
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        self.factor.settings_with([])
    }

    fn tracking(&self, _tier: &Tier) -> Tracking {
        self.factor.tracking()
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(RendezvousPicker {
            hrw: Hrw::new(tier, &identities(tier)),
            bound: Bound::new(self.factor, tier),
            turns: Sequence::new(tier.weights()),
        })
    }
}

#[derive(Debug)]
struct RendezvousPicker {
    hrw: Hrw,
    bound: Bound,
    turns: Sequence,
}

impl Picker for RendezvousPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        match cx.key() {
            Some(key) => self.hrw.first(cx, xxh64(key, 0), &self.bound),
            None => self.turns.next(cx),
        }
    }

    fn digest(&self, _tier: &Tier) -> Option<u64> {
        Some(fold(self.hrw.by_identity().flatten()))
    }

    fn admits(&self, cx: &PickContext<'_>, i: BackendIndex) -> bool {
        self.bound.admits_any(cx, i)
    }
}
