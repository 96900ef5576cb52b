//! The current membership, where the two ends of a balancer share it.

use std::sync::Arc;

use super::Membership;
use crate::state::attempt_failure::AttemptFailure;
use crate::state::backend_state::BackendState;
use crate::state::outage::Outage;
use crate::state::owner::Owner;
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{ArcSwapAny, Guard};
use crate::tiers::generation::Generation;
use crate::tiers::slot::Slot;
use crate::time::Timestamp;

/// The membership that the updater published last, and what outlives it.
#[derive(Debug)]
pub(crate) struct Published {
    current: ArcSwapAny<Arc<Membership>>,
    generation: Generation,
    /// Whether a thread is deciding if one more outlier may be ejected.
    is_ejecting: AtomicBool,
    outage: Outage,
}

impl Published {
    pub(crate) fn new() -> Self {
        Self {
            current: ArcSwapAny::new(Arc::new(Membership::unready())),
            generation: Generation::new(),
            is_ejecting: AtomicBool::new(false),
            outage: Outage::new(),
        }
    }

    pub(crate) fn current(&self) -> Guard<Arc<Membership>> {
        self.current.load()
    }

    /// Makes `membership` the current one, and returns the one before.
    pub(crate) fn publish(&self, membership: Arc<Membership>) -> Arc<Membership> {
        self.current.swap(membership)
    }

    pub(crate) const fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The outage that all backends of the membership have in common.
    pub(crate) const fn outage(&self) -> &Outage {
        &self.outage
    }

    /// Ends the ejections that have no other reason than an outage, and began at `earliest` or later. The outage is known
    /// `since` then.
    #[cold]
    pub(crate) fn forgive(&self, earliest: Timestamp, since: Option<Timestamp>, now: Timestamp) {
        self.outage.ended(now);
        let membership = self.current();
        let detection = membership.config.outlier_detection.as_ref();
        let members = membership.set().members();
        let forgiven =
            members.filter(|(_, member)| member.state().forgive(detection, earliest, now));
        let forgiven = forgiven.count();
        if forgiven > 0 {
            self.generation.advance();
            self.outage
                .note_forgiven(forgiven, since.unwrap_or(now), now);
        }
    }
}

impl Owner for Published {
    fn standing_changed(&self) {
        self.generation.advance();
    }

    /// O(n) where the backend has failed often enough.
    fn detect_outlier(
        &self,
        state: &BackendState,
        failure: AttemptFailure,
        now: Timestamp,
    ) -> bool {
        let membership = self.current();
        let Some(detection) = &membership.config.outlier_detection else {
            return false;
        };
        if !state.outliers.failed(detection, failure) {
            return false;
        }
        // One thread at a time, so that two do not eject more than the share between them. A thread that finds another
        // one at it ejects nothing; the next failure of its backend tries again.
        // Acquire: pairs with the Release store below.
        let begun = self
            .is_ejecting
            .compare_exchange(false, true, Acquire, Relaxed);
        if begun.is_err() {
            return false;
        }
        // The backends that connections may go to, of which a subset leaves some out.
        let states = || {
            let slots = membership.slots();
            slots.map(Slot::state)
        };
        let ejected = states()
            .filter(|state| state.outliers.ejected_until(now).is_some())
            .count();
        let ejects = detection.allows(ejected, states().count()) && state.eject(detection, now);
        self.is_ejecting.store(false, Release);
        ejects
    }

    /// O(n) if the backend is ejected without an answer, and to end an outage.
    fn answered(&self, state: &BackendState, now: Timestamp) {
        let since = self.outage.since().or_else(|| {
            let membership = self.current();
            let detection = membership.config.outlier_detection.as_ref();
            state.unanswered_since(detection, now)?;
            membership.common_outage(now)
        });
        if since.is_some() {
            self.forgive(Timestamp::default(), since, now);
        }
    }

    fn excuses(&self, state: &BackendState, picked_at: Timestamp, now: Timestamp) -> bool {
        if self.outage.is_over_since(picked_at) {
            return true;
        }
        self.outage.since().is_some() && {
            let membership = self.current();
            let detection = membership.config.outlier_detection.as_ref();
            state.unanswered_since(detection, now).is_some()
        }
    }
}
