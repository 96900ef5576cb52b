//! Leases of a backend that has `max_conns`.

use std::num::NonZeroU32;

use super::reference::in_flight_at_most;
use crate::state::backend_state::BackendState;
use crate::sync::Arc;

/// Whether `max` connections of the backend are in flight. Not inlined, so that backends without a limit do not pay.
#[inline(never)]
pub(crate) fn is_full(state: &Arc<BackendState>, max: NonZeroU32) -> bool {
    state.limit.is_full(max, || in_flight_at_most(state))
}

/// Acquires one of `max` permits and takes the reference that counts as a lease.
#[cold]
pub(super) fn take_permitted(
    state: &Arc<BackendState>,
    max: NonZeroU32,
) -> Option<Arc<BackendState>> {
    if !state.limit.acquire(max, || in_flight_at_most(state)) {
        return None;
    }
    let lease = Arc::clone(state);
    // Beside leases without a permit, two threads may have acquired permits for the last connection before either took
    // its reference. Then both may be refused.
    if state.limit.has_unpermitted() && in_flight_at_most(state) > max.get() {
        state.limit.release();
        return None;
    }
    Some(lease)
}
