//! The verdict on a backend: may it be picked, and if not, for which reason.

use std::fmt;

use super::Membership;
use crate::backend::Health;
use crate::pick::request::PickRequest;
use crate::tiers::generation::Generation;
use crate::tiers::slot::Slot;
use crate::time::Timestamp;

/// Whether a backend was eligible, and if not, the first reason why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is eligible, but above its bound: a policy with a [`BalanceFactor`](crate::policy::BalanceFactor) picks it only
    /// if all backends of its tier are.
    AboveBound,
    /// Its source or an operator drains it.
    Draining,
    /// It is ejected, after too many failures.
    Ejected {
        /// When the ejection ends.
        until: Timestamp,
    },
    /// It can be picked.
    Eligible,
    /// As many connections as `max_conns` allows are in flight.
    Full,
    /// It is not in this balancer's subset.
    NotInSubset,
    /// This connection has failed on it.
    Tried,
    /// It waits for its first active check.
    Unchecked,
    /// An active check failed.
    Unhealthy,
    /// It has the weight 0.
    ZeroWeight,
}

impl Verdict {
    /// The verdict in lower case with underscores, without the end of an ejection.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AboveBound => "above_bound",
            Self::Draining => "draining",
            Self::Ejected { .. } => "ejected",
            Self::Eligible => "eligible",
            Self::Full => "full",
            Self::NotInSubset => "not_in_subset",
            Self::Tried => "tried",
            Self::Unchecked => "unchecked",
            Self::Unhealthy => "unhealthy",
            Self::ZeroWeight => "zero_weight",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AboveBound => "above its bound",
            Self::Draining => "draining",
            Self::Ejected { .. } => "ejected",
            Self::Eligible => "eligible",
            Self::Full => "full",
            Self::NotInSubset => "not in the subset",
            Self::Tried => "tried before",
            Self::Unchecked => "not checked yet",
            Self::Unhealthy => "unhealthy",
            Self::ZeroWeight => "of weight 0",
        })
    }
}

/// The verdict on a backend of a tier, which `panics` or not.
pub(super) fn verdict(
    slot: &Slot,
    request: &PickRequest<'_>,
    panics: bool,
    now: Timestamp,
) -> Verdict {
    let state = slot.state();
    if request.tried.contains(state.addr()) {
        return Verdict::Tried;
    }
    if slot.is_full() {
        return Verdict::Full;
    }
    if panics {
        return Verdict::Eligible;
    }
    match state.health() {
        Health::Healthy => {}
        Health::Unchecked => return Verdict::Unchecked,
        Health::Unhealthy => return Verdict::Unhealthy,
    }
    match state.ejected_until(now) {
        Some(until) => Verdict::Ejected { until },
        None => Verdict::Eligible,
    }
}

/// The verdict that all backends of all tiers share, with the first end of their ejections. `None` if they differ, or if
/// there is no tier.
pub(crate) fn shared_verdict(
    membership: &Membership,
    generation: &Generation,
    request: &PickRequest<'_>,
    now: Timestamp,
) -> Option<Verdict> {
    let mut shared = None;
    for (at, compiled) in membership.tiers().iter().enumerate() {
        let panics = membership.panics(at, generation, now);
        for slot in compiled.tier.slots() {
            let verdict = verdict(slot, request, panics, now);
            shared = match (shared, verdict) {
                (None, verdict) => Some(verdict),
                (Some(Verdict::Ejected { until: one }), Verdict::Ejected { until: other }) => {
                    Some(Verdict::Ejected {
                        until: one.min(other),
                    })
                }
                (Some(before), verdict) if before == verdict => shared,
                _ => return None,
            };
        }
    }
    shared
}
