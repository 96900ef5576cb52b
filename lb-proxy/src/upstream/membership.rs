//! The writing end of an upstream's membership.

use std::sync::Arc;

use lb_core::{BackendMemory, BalancerConfig, Delta, Policy, Snapshot, Timestamp, Updater};

use super::overrides::Overrides;

/// What the sources reported, what overrides it, and the updater that gets the result of both.
pub(super) struct Membership {
    updater: Updater,
    /// What the next update changes besides the set, so that a policy is compiled once for both.
    pub(super) pending: Option<(Arc<dyn Policy>, BalancerConfig)>,
    /// What the sources reported last. `None` before their first answer.
    pub(super) discovered: Option<Snapshot>,
    pub(super) overrides: Overrides,
}

impl Membership {
    pub(super) fn new(updater: Updater) -> Self {
        Self {
            updater,
            pending: None,
            discovered: None,
            overrides: Overrides::default(),
        }
    }

    /// Takes what another process remembered of backends that are not known yet.
    pub(super) fn recall(
        &mut self,
        memories: impl IntoIterator<Item = BackendMemory>,
        now: Timestamp,
    ) {
        self.updater.recall(memories, now);
    }

    /// Applies `snapshot` and what is pending. If the policy panics, both are still to be applied.
    pub(super) fn apply(&mut self, snapshot: &Snapshot, now: Timestamp) -> Delta {
        let delta = match self.pending.clone() {
            Some((policy, config)) => self.updater.apply_all(snapshot, policy, config, now),
            None => self.updater.apply(snapshot, now),
        };
        self.pending = None;
        delta
    }
}
