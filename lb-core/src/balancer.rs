//! One writer, many readers, one atomic swap between them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::backend::Priority;
use crate::pick::{Pick, PickContext, PickError, PickRequest};
use crate::policy::{Picker, Policy};
use crate::rng::Rng;
use crate::set::{BackendSet, Registry, Tier};
use crate::snapshot::{Delta, Snapshot};
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
    /// One for each tier of the set.
    pickers: Vec<Box<dyn Picker>>,
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
        let delta = Delta::between(self.set.snapshot(), snapshot);
        self.set = Arc::new(self.registry.advance(snapshot, now));
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

    fn publish(&self) {
        let tiers = self.set.tiers().iter();
        let compiled = Compiled {
            pickers: tiers.map(|tier| self.policy.compile(tier)).collect(),
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
        for (tier, picker) in compiled.set.tiers().iter().zip(&compiled.pickers) {
            let mut cx = PickContext::new(tier, *request, now, rng);
            let mut lost = false;
            for _ in tier.indices() {
                let picked = picker.pick(&mut cx).and_then(|i| tier.slot(i));
                lost = picked.is_some();
                let Some(slot) = picked else { break };
                if let Some(pick) = Pick::acquire(slot, now) {
                    return Ok(pick);
                }
            }
            if lost && let Some(pick) = first_free(tier, &cx, now) {
                return Ok(pick);
            }
        }
        Err(if compiled.set.tiers().is_empty() {
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
        let tiers = compiled.set.tiers().iter().zip(&compiled.pickers);
        tiers
            .filter_map(|(tier, picker)| Some((tier.priority(), picker.digest()?)))
            .collect()
    }

    /// The present membership with its state. Empty before the first snapshot.
    pub fn set(&self) -> Arc<BackendSet> {
        let current = self.shared.load();
        current
            .as_ref()
            .map_or_else(Arc::default, |compiled| Arc::clone(&compiled.set))
    }
}

/// A lease of the first backend that can be had. O(n).
fn first_free(tier: &Tier, cx: &PickContext<'_>, now: Timestamp) -> Option<Pick> {
    tier.indices()
        .filter(|&i| cx.is_eligible(i))
        .filter_map(|i| tier.slot(i))
        .find_map(|slot| Pick::acquire(slot, now))
}
