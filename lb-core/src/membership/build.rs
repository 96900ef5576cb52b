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

    /// The membership of `set`, whose `tiers` are compiled by `policy`, to be published in the place of `former`.
    pub(crate) fn new(
        config: BalancerConfig,
        set: Arc<BackendSet>,
        tiers: Vec<Tier>,
        policy: &dyn Policy,
        former: &Self,
    ) -> Self {
        let mut needs_health = config.needs_health();
        let compile = |mut tier: Tier| {
            let place = |tier: &Tier| (tier.priority(), tier.is_near());
            let mut formers = former.tiers.iter();
            let picker = match formers.find(|former| place(&former.tier) == place(&tier)) {
                Some(former) => policy.recompile(&tier, &*former.picker, &former.tier),
                None => policy.compile(&tier),
            };
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

    /// Stores in the states what follows from this membership, right before it is published in the place of `former`. Not
    /// while it is built: a policy that panics leaves the states as the published membership needs them.
    ///
    /// `described` are the positions of the backends with a new description. The states of the others are read only where
    /// something else than their description may have changed them: reading those of ten thousand backends costs as much as
    /// all else of an update.
    pub(crate) fn settle_states(&self, former: &Self, described: &[u32]) {
        if let Some(slot) = former.sole_slot() {
            slot.state().set_sole(false);
        }
        // The only backend is never ejected by its fail limit, as in nginx.
        if let Some(slot) = self.sole_slot() {
            slot.state().set_sole(true);
        }
        for CompiledTier { tier, .. } in &self.tiers {
            // From now on leases update the load indexes.
            if let Some(index) = tier.load_index() {
                for (at, slot) in (0..).zip(tier.slots()) {
                    slot.state().set_position(Position::new(index, at));
                }
                index.update_all();
            }
        }
        let backends = self.set.snapshot().as_slice();
        let settle = |at: u32| {
            let state = self.set.member(at).state();
            let own = backends[at as usize].fail_limit;
            state.set_fail_limit(self.config.fail_limits.of(own));
            state.keep_position_in(self.load_indexes());
        };
        let has_new_limits = former.config.fail_limits != self.config.fail_limits;
        if has_new_limits || former.load_indexes().next().is_some() {
            (0..backends.len() as u32).for_each(settle);
        } else {
            described.iter().copied().for_each(settle);
        }
    }

    /// The only backend that can be picked, if there is just one.
    fn sole_slot(&self) -> Option<&Slot> {
        let mut slots = self.slots();
        slots.next().filter(|_| slots.next().is_none())
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
