//! A backend's slot in its tier.

use std::num::{NonZeroU16, NonZeroU32};

use crate::backend::{Backend, Health};
use crate::lease::limited;
use crate::lease::reference::{self, StateRef};
use crate::load_index::index::IndexedBackend;
use crate::state::backend_state::BackendState;
use crate::sync::Arc;
use crate::time::Timestamp;

/// A backend's state, and what a pick has to know of its configuration.
///
/// 16 bytes, so that the slots of ten thousand backends fit into the cache of a core.
#[derive(Debug)]
pub(crate) struct Slot {
    state: Arc<BackendState>,
    max_conns: Option<NonZeroU32>,
    weight: NonZeroU16,
}

impl Slot {
    /// The slot keeps the strong reference of a state reference, and the tier its discount.
    pub(super) fn new(state: Arc<BackendState>, backend: &Backend) -> Self {
        Self {
            state,
            max_conns: backend.max_conns,
            weight: NonZeroU16::new(backend.weight.get()).unwrap_or(NonZeroU16::MIN),
        }
    }

    /// What a load index has to know of the backend.
    pub(super) fn indexed(&self) -> IndexedBackend<BackendState> {
        IndexedBackend::new(StateRef::to(&self.state), self.weight(), self.max_conns)
    }

    pub(crate) fn state(&self) -> &BackendState {
        &self.state
    }

    /// The state, for a lease.
    pub(crate) const fn shared_state(&self) -> &Arc<BackendState> {
        &self.state
    }

    pub(crate) const fn max_conns(&self) -> Option<NonZeroU32> {
        self.max_conns
    }

    pub(crate) const fn nonzero_weight(&self) -> NonZeroU16 {
        self.weight
    }

    pub(crate) const fn weight(&self) -> u16 {
        self.weight.get()
    }

    pub(crate) fn in_flight(&self) -> u32 {
        reference::in_flight(&self.state)
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.max_conns
            .is_some_and(|max| limited::is_full(&self.state, max))
    }

    /// Whether the backend is healthy at `now`: neither ejected nor found unhealthy by a check.
    #[inline]
    pub(crate) fn is_healthy(&self, now: Timestamp) -> bool {
        !self.state().standing().is_suspect() || self.is_healthy_though_suspect(now)
    }

    #[cold]
    #[inline(never)]
    fn is_healthy_though_suspect(&self, now: Timestamp) -> bool {
        self.state().health() == Health::Healthy && self.state().ejected_until(now).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_slot_is_16_bytes() {
        assert_eq!(size_of::<Slot>(), 16);
    }
}
