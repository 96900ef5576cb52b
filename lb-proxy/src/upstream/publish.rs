//! The membership of an upstream: what its sources reported, with the overrides.

use std::sync::MutexGuard;

use lb_core::{Escaped, Snapshot};
use tracing::info;

use super::membership::Membership;
use super::{Upstream, lock};
use crate::backend_override::ActiveOverride;
use crate::embedder_code::catch;

impl Upstream {
    /// The backends as the sources reported them last, without overrides. Empty before their first answer. Costs a
    /// reference count.
    pub fn discovered(&self) -> Snapshot {
        let membership = lock(&self.shared().membership);
        membership.discovered.clone().unwrap_or_default()
    }

    /// Publishes `discovered`, the snapshot of the sources, with the overrides.
    pub(super) fn apply(&self, discovered: Snapshot) {
        let mut membership = lock(&self.shared().membership);
        let all_gone = membership.overrides.renew(&discovered);
        if !all_gone.is_empty() {
            // A backend may be back before the tasks of the checks have seen that it was gone.
            self.shared().checks.forget_reports();
        }
        for gone in all_gone {
            let ActiveOverride {
                endpoint,
                setting,
                origin,
                by,
                ..
            } = gone;
            info!(upstream = self.name(), backend.addr = %endpoint, %origin, by = %Escaped(&by), %setting, "Override ended with its backend");
        }
        membership.discovered = Some(discovered);
        self.publish(membership);
    }

    /// Makes `backends` the first membership, without a log message: a session may have an upstream of its own.
    pub(super) fn start_fixed(&self, backends: &Snapshot) {
        let mut membership = lock(&self.shared().membership);
        membership.discovered = Some(backends.clone());
        membership.apply(backends, self.now());
        self.shared().ready.send_replace(true);
    }

    /// Publishes what is pending, unless a newer snapshot has been published, and what could not be published.
    pub(super) fn apply_pending(&self) {
        let membership = lock(&self.shared().membership);
        if membership.pending.is_some() || self.policy_problem().is_some() {
            self.publish(membership);
        }
    }

    /// Publishes the membership, and picks for the sessions that wait once the lock is released.
    pub(super) fn publish(&self, mut membership: MutexGuard<'_, Membership>) {
        self.publish_locked(&mut membership);
        drop(membership);
        self.serve_queue();
    }

    /// Publishes the membership, and signals the losses in the order of the updates. If the policy panics, the last
    /// membership stays until the next update, or until the task that follows the sources tries again.
    fn publish_locked(&self, membership: &mut Membership) {
        let Some(discovered) = &membership.discovered else {
            return;
        };
        let shared = self.shared();
        let before = self.backends().snapshot().clone();
        let snapshot = membership.overrides.apply(discovered);
        let applied = catch("Policy::compile", || {
            membership.apply(&snapshot, self.now())
        });
        let delta = match applied {
            Ok(delta) => delta,
            Err(panicked) => return self.note_unpublished(&panicked),
        };
        self.note_published();
        shared.drain.update(&delta, &snapshot);
        if !delta.removed.is_empty()
            && let Some(counters) = self.counters()
        {
            counters.updated(&self.backends());
        }
        shared.memberships.send_modify(|count| *count += 1);
        self.log(&delta, &snapshot, &before);
        let is_first = !shared.ready.send_replace(true);
        self.readiness_changed();
        if is_first || !delta.is_empty() {
            self.send_membership(delta, snapshot.len());
        }
    }
}
