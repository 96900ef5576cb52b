//! Bounded loads: a key leaves its backend while that has too much more than its share.
//!
//! HAProxy's `hash-balance-factor` (`chash_server_is_eligible` in `lb_chash.c`), after Mirrokni, Thorup and
//! Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016: of all connections in flight and the one to come,
//! times the factor, rounded up, each backend may hold its part by weight, at least one. Weights are those of the
//! healthy backends, so the parts of the others are not lost.
//!
//! The connections in flight are those of the tier, counted for [`Tracking::Total`].
//! Where no backend is below the bound, it does not apply.

use crate::load_index::tracking::Tracking;
use crate::pick::context::PickContext;
use crate::tiers::tier::{BackendIndex, Tier};

/// How far above its share a backend may go: a percentage above 100, or no bound.
///
/// HAProxy recommends 125 to 200. The smaller it is, the more keys move to other backends under load.
#[doc(
    alias = "hash-balance-factor",
    alias = "hash_balance_factor",
    alias = "bounded loads"
)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BalanceFactor(u16);

#[cfg(feature = "serde")]
impl serde::Serialize for BalanceFactor {
    /// As the percentage, or `false` without a bound.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let percent = Some(self.0).filter(|percent| *percent > 0);
        crate::serde_form::Switch::serialize(&percent, serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for BalanceFactor {
    /// A percentage, or `false` or 0 for no bound.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let percent: Option<u16> = crate::serde_form::Switch::deserialize(deserializer)?;
        match percent.unwrap_or(0) {
            percent if percent == 0 || percent > 100 => Ok(Self(percent)),
            percent => Err(D::Error::custom(format!(
                "{percent} % is no balance factor: write a percentage from 101 to 65535, or false for no bound; 125 to \
                 200 are usual"
            ))),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for BalanceFactor {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BalanceFactor".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 101, "maximum": 65535 },
                { "enum": [0, false, null] },
            ]
        })
    }
}

impl BalanceFactor {
    /// No bound, the default.
    pub const NONE: Self = Self(0);

    /// At most `percent` of the share. Up to 100 means no bound, as HAProxy's 0.
    pub const fn percent(percent: u16) -> Self {
        Self(if percent > 100 { percent } else { 0 })
    }

    /// The settings of a policy: `own`, and the bound if there is one.
    pub(crate) fn settings_with(
        self,
        own: impl IntoIterator<Item = (&'static str, u32)>,
    ) -> Vec<(&'static str, String)> {
        let own = own
            .into_iter()
            .map(|(name, value)| (name, value.to_string()));
        let bound = (self != Self::NONE).then(|| ("balance_factor", format!("{}%", self.0)));
        own.chain(bound).collect()
    }

    pub(crate) const fn tracking(self) -> Tracking {
        if self.0 == 0 {
            Tracking::Nothing
        } else {
            Tracking::Total
        }
    }
}

/// The bound for the backends of one tier.
#[derive(Debug)]
pub(crate) struct Bound {
    factor: u64,
    /// For each backend the weight of those before it. Empty without a bound.
    before: Box<[u64]>,
}

impl Bound {
    pub(crate) fn new(factor: BalanceFactor, tier: &Tier) -> Self {
        let mut sum = 0;
        let before = tier.weights().map(|weight| {
            let before = sum;
            sum += u64::from(weight.get());
            before
        });
        Self {
            factor: factor.0.into(),
            before: if factor == BalanceFactor::NONE {
                Box::default()
            } else {
                before.collect()
            },
        }
    }

    /// Whether the backend at `i` can be picked for the connection. The bound applies to connections with a key.
    pub(crate) fn admits_any(&self, cx: &PickContext<'_>, i: BackendIndex) -> bool {
        match cx.key() {
            Some(_) => self.admits(cx, i),
            None => cx.is_eligible(i),
        }
    }

    /// Whether the backend at `i` is eligible and below its bound.
    pub(crate) fn admits(&self, cx: &PickContext<'_>, i: BackendIndex) -> bool {
        cx.is_eligible(i)
            && self.before.get(i.as_usize()).is_none_or(|&before| {
                let (total, weights) = cx.totals();
                let room = room(total, self.factor, before, cx.weight(i).into(), weights);
                u64::from(cx.in_flight(i)) < room
            })
    }
}

/// How many connections a backend with the weight `weight` of `weights` may hold, after others of `before`.
fn room(total: u64, factor: u64, before: u64, weight: u64, weights: u64) -> u64 {
    let all = u128::from((total + 1) * factor).div_ceil(100);
    let up_to = |end: u64| u128::from(end) * all / u128::from(weights.max(1));
    let room = up_to(before + weight) - up_to(before);
    u64::try_from(room).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// HAProxy's arithmetic, step by step.
    fn haproxy(served: u64, factor: u64, cumulative: u64, weight: u64, weights: u64) -> u64 {
        let all = ((served + 1) * factor).div_ceil(100);
        let (each, rest) = (all / weights, all % weights);
        let slots =
            weight * each + (cumulative + weight) * rest / weights - cumulative * rest / weights;
        slots.max(1)
    }

    proptest! {
        #[test]
        #[cfg_attr(miri, ignore = "arithmetic alone: Miri is slow and finds nothing there")]
        fn leaves_the_room_that_haproxy_leaves(
            weights in proptest::collection::vec(1..300_u64, 1..20),
            served in 0..100_000_u64,
            factor in 101..1000_u64,
        ) {
            let all: u64 = weights.iter().sum();
            let mut before = 0;
            let mut rooms = 0;
            for &weight in &weights {
                let found = room(served, factor, before, weight, all);
                prop_assert_eq!(found, haproxy(served, factor, before, weight, all));
                before += weight;
                rooms += found;
            }
            prop_assert!(rooms > served, "one backend always has room");
        }
    }
}
