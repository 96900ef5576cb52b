//! The writing end of a balancer.

use std::sync::Arc;

use crate::backend::Health;
use crate::config::BalancerConfig;
use crate::delta::Delta;
use crate::membership::Membership;
use crate::membership::published::Published;
use crate::membership::registry::{Advance, Registry};
use crate::membership::set::BackendSet;
use crate::policy::Policy;
use crate::snapshot::Snapshot;
use crate::state::memory::BackendMemory;
use crate::state::owner::Owner;
use crate::time::Timestamp;

/// The writing end of a balancer: the one thread that has it decides the order of updates. Not `Clone`.
#[doc(alias = "control plane", alias = "writer")]
#[derive(Debug)]
pub struct Updater {
    policy: Arc<dyn Policy>,
    config: BalancerConfig,
    registry: Registry,
    /// The moment of the last snapshot.
    applied_at: Timestamp,
    /// None before the first snapshot.
    set: Option<Arc<BackendSet>>,
    retired: Retired,
    published: Arc<Published>,
}

impl Updater {
    pub(crate) fn new(policy: Arc<dyn Policy>, published: Arc<Published>) -> Self {
        let owner: Arc<dyn Owner> = Arc::<Published>::clone(&published);
        Self {
            policy,
            config: BalancerConfig::default(),
            registry: Registry::new(Arc::downgrade(&owner)),
            applied_at: Timestamp::default(),
            set: None,
            retired: Retired::default(),
            published,
        }
    }

    /// Makes `snapshot` the membership, and returns what changed. Backends that stay keep their state. Connections in
    /// flight to removed backends continue. An equal snapshot costs a comparison and publishes nothing.
    ///
    /// # Panics
    ///
    /// If the policy panics while it compiles. The former membership stays published with its pickers, and the updater can
    /// be used on, as after each of its methods: a caller that catches the panic may apply the snapshot again.
    pub fn apply(&mut self, snapshot: &Snapshot, now: Timestamp) -> Delta {
        let Some(advance) = self.advance(snapshot, self.config.initial_health, now) else {
            return Delta::default();
        };
        let (policy, config) = (Arc::clone(&self.policy), self.config.clone());
        self.update(Some(advance), policy, config, now)
    }

    /// Makes `snapshot` the membership, and picks by `policy` and `config` from now on. Does at once what [`apply`](Self::apply),
    /// [`set_policy`](Self::set_policy) and [`set_config`](Self::set_config) do, and compiles the policy once, also if nothing
    /// differs.
    ///
    /// # Panics
    ///
    /// As [`apply`](Self::apply). Then nothing of the three has changed.
    pub fn apply_all(
        &mut self,
        snapshot: &Snapshot,
        policy: Arc<dyn Policy>,
        config: BalancerConfig,
        now: Timestamp,
    ) -> Delta {
        let advance = self.advance(snapshot, config.initial_health, now);
        self.update(advance, policy, config, now)
    }

    /// Takes what another process remembered of backends: one that becomes known within a minute of `now`, with the same
    /// [`instance`](field@crate::Backend::instance), begins with it. Backends that are known already keep their state.
    ///
    /// `now` is the moment that the offsets are relative to, after [`TimeOffset::after`](crate::TimeOffset::after) has added the
    /// time since the export. A clock whose epoch is `now` itself cannot express earlier moments: they become the epoch.
    pub fn recall(&mut self, memories: impl IntoIterator<Item = BackendMemory>, now: Timestamp) {
        self.registry.recall(memories, now);
    }

    /// Picks by `policy` from now on. State and counters survive.
    ///
    /// # Panics
    ///
    /// As [`apply`](Self::apply). Then the former policy stays.
    pub fn set_policy(&mut self, policy: Arc<dyn Policy>) {
        self.update(None, policy, self.config.clone(), self.applied_at);
    }

    /// Changes the settings around the policy. State and counters survive. Equal settings cost a comparison.
    ///
    /// # Panics
    ///
    /// As [`apply`](Self::apply). Then the former settings stay.
    pub fn set_config(&mut self, config: BalancerConfig) {
        if self.config != config {
            self.update(None, Arc::clone(&self.policy), config, self.applied_at);
        }
    }

    /// The step to `snapshot`. `None` if it equals the present one.
    fn advance(&mut self, snapshot: &Snapshot, initial: Health, now: Timestamp) -> Option<Advance> {
        let old = self.set.as_deref();
        if old.is_some_and(|old| old.snapshot() == snapshot) {
            return None;
        }
        Some(self.registry.advance(old, snapshot, initial, now))
    }

    /// Compiles `policy` and `config` with the set of `advance`, or with the present one, and then makes the three those in
    /// use. Returns what changed. A policy that panics has changed nothing.
    fn update(
        &mut self,
        advance: Option<Advance>,
        policy: Arc<dyn Policy>,
        config: BalancerConfig,
        now: Timestamp,
    ) -> Delta {
        let (new, delta, described) = match advance {
            Some(step) => (Some(Arc::new(step.set)), step.delta, step.described),
            None => (None, Delta::default(), Vec::new()),
        };
        let registry = &mut self.registry;
        let membership = new.as_ref().or(self.set.as_ref()).map(|set| {
            let tiers = registry.tiers(set, &config);
            let former = self.published.current();
            Membership::new(config.clone(), Arc::clone(set), tiers, &*policy, &former)
        });
        (self.policy, self.config) = (policy, config);
        if let Some(set) = new {
            self.registry.settle(&set);
            self.retired.sets.extend(self.set.replace(set));
            self.applied_at = now;
        }
        if let Some(membership) = membership {
            self.publish(membership, &described);
        }
        delta
    }

    fn publish(&mut self, membership: Membership, described: &[u32]) {
        let former = self.published.current();
        membership.settle_states(&former, described);
        let health_since = former.health_since();
        drop(former);
        let now = health_since.unwrap_or_default().max(self.applied_at);
        // Picks that come while the first one recomputes tier health use these values.
        membership.refresh_health(self.published.generation(), now);
        let membership = Arc::new(membership);
        let old = self.published.publish(Arc::clone(&membership));
        self.retired.memberships.push(old);
        self.retired.free();
        membership.update_load_indexes();
    }
}

/// Memberships and sets that were replaced and may still be read.
///
/// The updater frees each of them during the first update after its last reader has dropped it. So no pick frees the
/// memory of ten thousand backends, and state references are dropped during updates only.
#[derive(Debug, Default)]
struct Retired {
    memberships: Vec<Arc<Membership>>,
    sets: Vec<Arc<BackendSet>>,
}

impl Retired {
    /// Drops what has no other reference: no reader can get one any more.
    fn free(&mut self) {
        self.memberships
            .retain(|old| Arc::strong_count(old) > 1 || old.has_index_in_use());
        self.sets.retain(|old| Arc::strong_count(old) > 1);
    }
}
