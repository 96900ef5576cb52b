//! What the two ends of a balancer and its backends have in common.

use std::sync::{Arc, Weak};

use crate::membership::compiled::Compiled;
use crate::state::backend_state::BackendState;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicBool, AtomicU64};
use crate::sync::{ArcSwapAny, Guard};
use crate::tiers::tier::Slot;
use crate::time::Timestamp;

/// The way of a state to what it has in common with others, while there is a balancer.
pub(crate) type Home = Weak<Shared>;

#[derive(Debug)]
pub(crate) struct Shared {
    current: ArcSwapAny<Arc<Compiled>>,
    /// Grows whenever a backend is ejected, forgiven, or found healthy or not.
    generation: AtomicU64,
    /// Somebody is asking whether one more outlier may be ejected.
    ejecting: AtomicBool,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            current: ArcSwapAny::new(Arc::new(Compiled::unready())),
            generation: AtomicU64::new(0),
            ejecting: AtomicBool::new(false),
        }
    }

    pub(crate) fn current(&self) -> Guard<Arc<Compiled>> {
        self.current.load()
    }

    /// Where what is current is published.
    pub(crate) const fn published(&self) -> &ArcSwapAny<Arc<Compiled>> {
        &self.current
    }

    /// Makes `compiled` current, and returns what was.
    pub(crate) fn publish(&self, compiled: Arc<Compiled>) -> Arc<Compiled> {
        self.current.swap(compiled)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    pub(crate) fn note_change(&self) {
        self.generation.fetch_add(1, Release);
    }

    /// Counts a failure of the backend with `state` for outlier detection. True if that ejects it. O(n) then.
    pub(crate) fn detect(&self, state: &BackendState, now: Timestamp) -> bool {
        let compiled = self.current();
        let Some(detection) = &compiled.config.outlier_detection else {
            return false;
        };
        if !state.outliers.failed(detection) {
            return false;
        }
        // One at a time, so that those who come together do not eject more than the share; the next failure asks again.
        let begun = self
            .ejecting
            .compare_exchange(false, true, Acquire, Relaxed);
        if begun.is_err() {
            return false;
        }
        // Of those that connections may go to, which a subset leaves some of.
        let states = || {
            let slots = compiled.levels.iter().flat_map(|level| level.tier.slots());
            slots.map(Slot::state)
        };
        let ejected = states()
            .filter(|state| state.outliers.ejected_until(now).is_some())
            .count();
        let ejects = detection.allows(ejected, states().count()) && state.eject(detection, now);
        self.ejecting.store(false, Release);
        ejects
    }
}
