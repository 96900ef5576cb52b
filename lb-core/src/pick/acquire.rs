//! Taking a lease of the backend that a policy picked.

use super::environment::PickEnvironment;
use crate::lease::pick::Pick;
use crate::state::backend_state::BackendState;
use crate::tiers::slot::Slot;
use crate::time::Timestamp;

/// Takes a lease of the backend in `slot`, and updates the load index.
///
/// `None` if the backend is full, or if another thread has its trial after an ejection, which does not matter in panic
/// mode and in a trial of its own.
#[inline]
pub(crate) fn acquire(slot: &Slot, environment: &PickEnvironment<'_>) -> Option<Pick> {
    let now = environment.now;
    let lease = Pick::take(slot.shared_state(), slot.max_conns(), now)?;
    let state = slot.state();
    if state.standing().is_indexed() {
        state.update_index(environment.tier.load_index());
    }
    let claims = || claim(state, now) || environment.panics;
    if state.standing().is_suspect() && !environment.is_trial && !claims() {
        return None;
    }
    Some(lease)
}

/// Claims the right to connect to a suspect backend.
#[cold]
#[inline(never)]
fn claim(state: &BackendState, now: Timestamp) -> bool {
    state.fail_limit().is_none_or(|limit| {
        let claimed = state.failures.claim(limit, now);
        if claimed && state.failures.ejected_until(limit, now).is_some() {
            // A trial: until it succeeds, the backend is ejected for all other connections.
            state.report_change();
        }
        claimed
    })
}
