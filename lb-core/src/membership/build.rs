//! Building a membership, and the load indexes of its tiers.

use std::sync::Arc;

use super::Membership;
use super::compiled_tier::CompiledTier;
use super::set::BackendSet;
use crate::config::BalancerConfig;
use crate::load_index::position::Position;
use crate::load_index::tracking::Tracking;
use crate::policy::Policy;
use crate::state::index_position::SharedIndex;
use crate::tiers::health::Validity;
use crate::tiers::slot::Slot;
use crate::tiers::tier::Tier;

impl Membership {
    /// The membership before the first snapshot: nothing to pick from.
    pub(crate) fn unready() -> Self {
        Self {
            config: BalancerConfig::default(),
            set: Arc::default(),
            tiers: Box::default(),
            needs_health: false,
            validity: Validity::new(),
            is_ready: false,
        }
    }

    /// The membership of `set`, whose `tiers` are compiled by `policy`.
    pub(crate) fn new(
        config: BalancerConfig,
        set: Arc<BackendSet>,
        tiers: Vec<Tier>,
        policy: &dyn Policy,
    ) -> Self {
        let mut needs_health = config.needs_health();
        let compile = |mut tier: Tier| {
            let picker = policy.compile(&tier);
            let tracking = policy.tracking(&tier);
            needs_health |= tracking == Tracking::Total;
            tier.track(tracking);
            CompiledTier::new(tier, picker)
        };
        Self {
            tiers: tiers.into_iter().map(compile).collect(),
            needs_health,
            config,
            set,
            validity: Validity::new(),
            is_ready: true,
        }
    }

    /// Stores in the states what follows from this membership, right before it is published. Not while it is built: a
    /// policy that panics leaves the states as the published membership needs them.
    pub(crate) fn settle_states(&self) {
        // The only backend is never ejected by its fail limit, as in nginx.
        let is_sole = self.slots().nth(1).is_none();
        for CompiledTier { tier, .. } in &self.tiers {
            let index = tier.load_index();
            for (at, slot) in (0..).zip(tier.slots()) {
                slot.state().set_sole(is_sole);
                // From now on leases update the load indexes.
                if let Some(index) = index {
                    slot.state().set_position(Position::new(index, at));
                }
            }
            if let Some(index) = index {
                index.update_all();
            }
        }
        for (backend, member) in self.set.members() {
            let state = member.state();
            state.set_fail_limit(self.config.fail_limits.of(backend.fail_limit));
            state.keep_position_in(self.load_indexes());
        }
    }

    /// The backends of all tiers.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.tiers.iter().flat_map(|tier| tier.tier.slots())
    }

    fn load_indexes(&self) -> impl Iterator<Item = &SharedIndex> {
        self.tiers.iter().filter_map(|tier| tier.tier.load_index())
    }

    /// Whether a lease is updating one of its load indexes.
    pub(crate) fn has_index_in_use(&self) -> bool {
        self.load_indexes()
            .any(|index| SharedIndex::strong_count(index) > 1)
    }

    /// Updates all loads, after an update that may have been counted as leases for a moment.
    pub(crate) fn update_load_indexes(&self) {
        self.load_indexes().for_each(|index| index.update_all());
    }
}
