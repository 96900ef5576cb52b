//! One writer, many readers, one atomic swap between them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::backend::Priority;
use crate::pick::{Pick, PickContext, PickError, PickRequest};
use crate::policy::{Picker, Policy};
use crate::registry::Registry;
use crate::rng::Rng;
use crate::set::BackendSet;
use crate::snapshot::{Delta, Snapshot};
use crate::tier::Tier;
use crate::time::Timestamp;

/// Makes the two ends of one balancer: the [`Updater`] takes snapshots, the [`Balancer`] picks.
pub fn balancer(policy: Arc<dyn Policy>) -> (Updater, Balancer) {
    let shared = Arc::new(ArcSwapOption::empty());
    let updater = Updater {
        policy,
        registry: Registry::default(),
        set: Arc::default(),
        applied: false,
        shared: Arc::clone(&shared),
    };
    (updater, Balancer { shared })
}

/// Membership and pickers: what one swap publishes.
#[derive(Debug)]
struct Compiled {
    set: Arc<BackendSet>,
    /// In the order of priority.
    levels: Box<[Level]>,
}

/// A tier, ready for picking.
#[derive(Debug)]
struct Level {
    tier: Tier,
    picker: Box<dyn Picker>,
}

/// The writing end. Not `Clone`: whoever owns it decides the order of updates.
#[derive(Debug)]
pub struct Updater {
    policy: Arc<dyn Policy>,
    registry: Registry,
    set: Arc<BackendSet>,
    applied: bool,
    shared: Arc<ArcSwapOption<Compiled>>,
}

impl Updater {
    /// Makes `snapshot` the membership. Backends that stay keep their state; connections in flight to backends
    /// that leave go on. An equal snapshot costs a comparison and publishes nothing.
    pub fn apply(&mut self, snapshot: &Snapshot, now: Timestamp) -> Delta {
        if self.applied && self.set.snapshot() == snapshot {
            return Delta::default();
        }
        let (set, delta) = self.registry.advance(&self.set, snapshot, now);
        self.set = Arc::new(set);
        self.applied = true;
        self.publish();
        delta
    }

    /// Picks by `policy` from now on. State and cursors survive.
    pub fn set_policy(&mut self, policy: Arc<dyn Policy>) {
        self.policy = policy;
        if self.applied {
            self.publish();
        }
    }

    fn publish(&mut self) {
        let tiers = self.registry.tiers(&self.set).into_iter();
        let levels = tiers.map(|tier| Level {
            picker: self.policy.compile(&tier),
            tier,
        });
        let compiled = Compiled {
            levels: levels.collect(),
            set: Arc::clone(&self.set),
        };
        self.shared.store(Some(Arc::new(compiled)));
    }
}

/// The picking end. Cloning costs one reference count.
#[derive(Clone, Debug)]
pub struct Balancer {
    shared: Arc<ArcSwapOption<Compiled>>,
}

impl Balancer {
    /// Picks a backend and takes one of its connections, without a lock and without allocating.
    ///
    /// Tiers are asked in the order of their priority. If two threads race for the last slot of a backend, or for
    /// the trial of an ejected one, the slower picks again; who loses as many races as the tier has backends gets the
    /// first that is free.
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
        let current = self.shared.load();
        let compiled = current.as_ref().ok_or(PickError::NotReady)?;
        for level in &compiled.levels {
            if let Some(pick) = level.pick(request, now, rng) {
                return Ok(pick);
            }
        }
        Err(if compiled.levels.is_empty() {
            PickError::Empty
        } else {
            PickError::Exhausted
        })
    }

    /// What the policy's [digest](Picker::digest) is for each tier that has one, in the order of priority.
    ///
    /// Replicas with equal digests send every key to the same backend, so a difference that stays tells that their
    /// sources disagree. May cost as much as compiling: for a status page, not for every pick.
    pub fn digests(&self) -> Vec<(Priority, u64)> {
        let current = self.shared.load();
        let Some(compiled) = current.as_ref() else {
            return Vec::new();
        };
        let digest = |level: &Level| Some((level.tier.priority(), level.picker.digest()?));
        compiled.levels.iter().filter_map(digest).collect()
    }

    /// The present membership with its state. Empty before the first snapshot.
    pub fn set(&self) -> Arc<BackendSet> {
        let current = self.shared.load();
        current
            .as_ref()
            .map_or_else(Arc::default, |compiled| Arc::clone(&compiled.set))
    }
}

impl Level {
    fn pick(&self, request: &PickRequest<'_>, now: Timestamp, rng: &mut dyn Rng) -> Option<Pick> {
        let mut cx = PickContext::new(&self.tier, *request, now, rng);
        let slot = self.tier.slot(self.picker.pick(&mut cx)?)?;
        let lease = slot.acquire(now);
        lease.or_else(|| self.race(&mut cx, now))
    }

    /// Picks again after another thread took what was picked. Whoever loses as many races as there are backends gets
    /// the first that can be had.
    #[cold]
    fn race(&self, cx: &mut PickContext<'_>, now: Timestamp) -> Option<Pick> {
        let tier = &self.tier;
        for _ in tier.indices() {
            let slot = tier.slot(self.picker.pick(cx)?)?;
            if let Some(lease) = slot.acquire(now) {
                return Some(lease);
            }
        }
        tier.indices()
            .filter(|&i| cx.is_eligible(i))
            .find_map(|i| tier.slot(i)?.acquire(now))
    }
}
