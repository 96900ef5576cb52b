//! An upstream that runs adopts the description of an equal or a changed one, when a reload brings it.

use std::sync::Arc;

use super::description::UpstreamDescription;
use super::{Upstream, lock, write};

impl Upstream {
    /// Whether no server follows its sources, so that another upstream can [adopt](Self::adopt) it.
    pub(crate) fn is_idle(&self) -> bool {
        let follower = self.shared().follower.try_lock();
        follower.is_ok_and(|follower| follower.is_some())
    }

    /// Whether a reload keeps this upstream where `described` is described.
    pub(crate) fn is_same_as(&self, described: &Self) -> bool {
        self.id() == described.id() || {
            let (running, new) = (self.description(), described.description());
            running.is_same_as(&new)
        }
    }

    pub(super) fn description(&self) -> Arc<UpstreamDescription> {
        Arc::clone(&lock(&self.shared().description))
    }

    /// Whether the last attempt of a source has failed, or has found that there is nothing.
    fn has_failing_source(&self) -> bool {
        let sources = self.discovery().sources;
        sources.iter().any(|source| source.last_error.is_some())
    }

    /// Takes over the description of `new`, whose handles mean this pool from then on. The state of the backends stays.
    /// So do the sources if the descriptions are the same and no source fails. False if a server runs `new`.
    pub(crate) fn adopt(&self, new: &Self) -> bool {
        let from = new.shared();
        let Some(plan) = from.follower.try_lock().ok().and_then(|mut f| f.take()) else {
            return false;
        };
        let into = self.shared();
        // Another upstream may have adopted `new` only if it runs.
        if self.is_same_as(new) && !self.has_failing_source() {
            // Functions of one identity may be of different configurations of the embedder.
            into.hash_key.set(new.hash_key());
            let _ = new.0.adopted_by.set(Arc::clone(into));
            into.events.adopt(&from.events);
            return true;
        }
        let description = new.description();
        into.drain.set(description.on_loss);
        into.wait_queue.set(description.queue);
        into.header.set(description.header.clone());
        into.hash_key.set(description.hash_key.clone());
        *lock(&into.description) = description;
        *write(&into.discovery) = plan.discovery.clone();
        *lock(&into.plan) = Some(plan);
        into.planned.notify_one();
        let _ = new.0.adopted_by.set(Arc::clone(into));
        into.events.adopt(&from.events);
        self.send_reloaded();
        true
    }
}
