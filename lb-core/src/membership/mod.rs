//! The membership: what is built from a snapshot, its settings and a policy, and replaced as one value.

use std::sync::Arc;

use crate::config::BalancerConfig;
use crate::tiers::health::Validity;
use crate::time::Timestamp;
use compiled_tier::CompiledTier;
use set::BackendSet;

mod build;
mod choose;
pub(crate) mod compiled_tier;
pub(crate) mod explain;
pub(crate) mod published;
pub(crate) mod registry;
pub(crate) mod set;
pub(crate) mod trial;
pub(crate) mod verdict;

/// All backends with their state, and the tiers that picks are made from.
#[derive(Debug)]
pub(crate) struct Membership {
    config: BalancerConfig,
    set: Arc<BackendSet>,
    /// In the order of priority, near before far.
    tiers: Box<[CompiledTier]>,
    /// Whether picks need tier health.
    needs_health: bool,
    /// When the health of the tiers was computed, and until when it holds.
    validity: Validity,
    /// Whether there has been a snapshot.
    is_ready: bool,
}

impl Membership {
    /// The state of every backend.
    pub(crate) const fn set(&self) -> &Arc<BackendSet> {
        &self.set
    }

    /// The tiers in the order of priority, near before far.
    pub(crate) fn tiers(&self) -> &[CompiledTier] {
        &self.tiers
    }

    /// Whether there has been a snapshot.
    pub(crate) const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether picks need tier health.
    pub(crate) const fn needs_health(&self) -> bool {
        self.needs_health
    }

    /// When the health of the tiers was computed last, if it was.
    pub(crate) fn health_since(&self) -> Option<Timestamp> {
        self.validity.since()
    }
}
