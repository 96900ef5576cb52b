//! One writer, many readers, one atomic swap between them.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::backend::Priority;
use crate::config::BalancerConfig;
use crate::local::LocalBalancer;
use crate::membership::compiled::{Compiled, Level};
use crate::membership::registry::Registry;
use crate::membership::set::BackendSet;
use crate::membership::shared::Shared;
use crate::pick::explain::Explanation;
use crate::pick::request::{Pick, PickError, PickRequest};
use crate::policy::Policy;
use crate::rng::Rng;
use crate::snapshot::{Delta, Snapshot};
use crate::state::health::Health;
use crate::time::Timestamp;

/// Makes the two ends of one balancer: the [`Updater`] takes snapshots, the [`Balancer`] picks.
pub fn balancer(policy: Arc<dyn Policy>) -> (Updater, Balancer) {
    let shared = Arc::new(Shared::new());
    let updater = Updater {
        policy,
        config: BalancerConfig::default(),
        registry: Registry::new(Arc::downgrade(&shared)),
        applied_at: Timestamp::default(),
        set: None,
        retired: Retired::default(),
        shared: Arc::clone(&shared),
    };
    (updater, Balancer { shared })
}

/// The writing end. Not `Clone`: whoever owns it decides the order of updates.
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
    shared: Arc<Shared>,
}

impl Updater {
    /// Makes `snapshot` the membership. Backends that stay keep their state; connections in flight to backends
    /// that leave go on. An equal snapshot costs a comparison and publishes nothing.
    pub fn apply(&mut self, snapshot: &Snapshot, now: Timestamp) -> Delta {
        let old = self.set.as_deref();
        if old.is_some_and(|old| old.snapshot() == snapshot) {
            return Delta::default();
        }
        let (set, delta) = self.registry.advance(old, snapshot, now);
        self.retired.sets.extend(self.set.replace(Arc::new(set)));
        self.applied_at = now;
        self.publish();
        delta
    }

    /// Picks by `policy` from now on. State and cursors survive.
    pub fn set_policy(&mut self, policy: Arc<dyn Policy>) {
        self.policy = policy;
        self.publish();
    }

    /// Changes what is done around the policy. State and cursors survive. Equal settings cost a comparison.
    pub fn set_config(&mut self, config: BalancerConfig) {
        if self.config != config {
            self.config = config;
            self.publish();
        }
    }

    fn publish(&mut self) {
        let Some(set) = &self.set else { return };
        let tiers = self.registry.tiers(set, &self.config);
        let compiled = Compiled::new(self.config.clone(), Arc::clone(set), tiers, &*self.policy);
        let last_check = self.shared.current().last_check();
        let now = last_check.unwrap_or_default().max(self.applied_at);
        // For whoever comes while the first pick works them out, if they do not hold by then.
        compiled.check_vitals(&self.shared, now);
        let compiled = Arc::new(compiled);
        let old = self.shared.publish(Arc::clone(&compiled));
        self.retired.memberships.push(old);
        self.retired.free();
        compiled.refresh_boards();
    }
}

/// What was published before and may still be read.
///
/// The updater frees it, at an update after its last reader has let go of it. So no pick waits for the memory of ten
/// thousand backends to be freed, and the references that are not leases change during updates only.
#[derive(Debug, Default)]
struct Retired {
    memberships: Vec<Arc<Compiled>>,
    sets: Vec<Arc<BackendSet>>,
}

impl Retired {
    /// Nobody can come to what nobody but this reads.
    fn free(&mut self) {
        self.memberships
            .retain(|old| Arc::strong_count(old) > 1 || old.is_noted_on());
        self.sets.retain(|old| Arc::strong_count(old) > 1);
    }
}

/// The picking end. Cloning costs one reference count.
#[derive(Clone, Debug)]
pub struct Balancer {
    pub(crate) shared: Arc<Shared>,
}

impl Balancer {
    /// Picks a backend and takes one of its connections, without a lock and, after a thread's first pick, without
    /// allocating.
    ///
    /// Tiers are asked in the order of their priority, unless [`BalancerConfig`] says otherwise. If two threads race for
    /// the last slot of a backend, or for the trial of an ejected one, the slower picks again; who loses as many races
    /// as the tier has backends gets the first that is free.
    ///
    /// # Errors
    ///
    /// See [`PickError`]: it means that no backend was eligible at `now`.
    pub fn pick(
        &self,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Result<Pick, PickError> {
        let compiled = self.shared.current();
        compiled.pick(&self.shared, request, now, rng)
    }

    /// A handle for one thread, whose picks are cheaper: see [`LocalBalancer`].
    pub fn local(&self) -> LocalBalancer {
        LocalBalancer::new(Arc::clone(&self.shared))
    }

    /// Tells why each backend could or could not be picked, and which one would be, without picking it: with the same
    /// request, time and draws, [`pick`](Self::pick) would answer the same. For a person who asks: O(n) and allocates.
    ///
    /// # Errors
    ///
    /// [`PickError::NotReady`] before the first snapshot.
    pub fn explain(
        &self,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Result<Explanation, PickError> {
        let compiled = self.shared.current();
        if !compiled.ready {
            return Err(PickError::NotReady);
        }
        Ok(Explanation::new(&compiled, &self.shared, request, now, rng))
    }

    /// Whether some backend lacks nothing for this connection but room, if even that: whether a connection that was
    /// refused may get a backend by waiting for one of the others to end. O(n).
    ///
    /// Says so as well of a backend that has room again since the refusal, so it can be asked while others pick.
    pub fn has_candidate(&self, request: &PickRequest<'_>, now: Timestamp) -> bool {
        let compiled = self.shared.current();
        compiled.has_candidate(&self.shared, request, now)
    }

    /// Notes what an active check found of the backend at `addr`; true if that is news. An unhealthy backend gets no
    /// new connections; one that recovers is no longer ejected as an outlier and starts slowly, if that is configured.
    /// False for an address that is not known. O(log n) after the first call for a membership.
    pub fn set_health(&self, addr: SocketAddr, health: Health, now: Timestamp) -> bool {
        let compiled = self.shared.current();
        let member = compiled.set.find(addr);
        member.is_some_and(|member| member.state().set_health(health, now))
    }

    /// What the policy's [digest](crate::Picker::digest) is for each tier that has one, in the order of priority.
    ///
    /// Replicas with equal digests send every key to the same backend, so a difference that stays tells that their
    /// sources disagree. May cost as much as compiling: for a status page, not for every pick.
    pub fn digests(&self) -> Vec<(Priority, u64)> {
        let compiled = self.shared.current();
        let digest = |level: &Level| Some((level.tier.priority(), level.picker.digest()?));
        compiled.levels.iter().filter_map(digest).collect()
    }

    /// The present membership with its state. Empty before the first snapshot.
    pub fn set(&self) -> Arc<BackendSet> {
        Arc::clone(&self.shared.current().set)
    }
}
