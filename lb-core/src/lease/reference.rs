//! Connections in flight are references to a backend's state.

use std::num::NonZeroU32;

use crate::state::backend_state::BackendState;
use crate::sync::atomic::Ordering::{Acquire, Release};
use crate::sync::atomic::fence;
use crate::sync::{Arc, Weak};

/// A backend's state in the hands of whoever is not a connection.
///
/// A lease is a strong reference to the state and nothing else, so picking and releasing cost one atomic addition
/// each. Whoever holds the state without being a lease holds a weak reference beside the strong one; then the leases
/// are the strong references without the weak ones. The strong one is made first and dropped last, so for some nanoseconds
/// of an update the count may be one too high; whoever cannot have it too low reads it with that in mind.
#[derive(Debug)]
pub(crate) struct Held {
    // Dropped before the state.
    mark: Mark,
    state: Arc<BackendState>,
}

/// The weak reference of whoever holds a strong one and is not a connection. Goes before it.
#[derive(Debug)]
pub(crate) struct Mark(#[expect(dead_code, reason = "counted, not followed")] Weak<BackendState>);

impl Held {
    pub(crate) fn new(state: BackendState) -> Self {
        Self::hold(&Arc::new(state))
    }

    /// Holds `state` beside others who do.
    pub(crate) fn hold(state: &Arc<BackendState>) -> Self {
        let state = Arc::clone(state);
        // Whoever sees the mark sees the reference. One that is gone took its mark along: std releases both.
        fence(Release);
        Self {
            mark: Mark(Arc::downgrade(&state)),
            state,
        }
    }

    pub(crate) fn state(&self) -> &BackendState {
        &self.state
    }

    pub(crate) fn in_flight(&self) -> u32 {
        in_flight(&self.state)
    }

    /// The two references, for whoever stores them apart.
    pub(crate) fn into_parts(self) -> (Arc<BackendState>, Mark) {
        (self.state, self.mark)
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::hold(&self.state)
    }
}

/// The leases of a backend; for a moment of an update it may be one more or less.
#[inline]
pub(crate) fn in_flight(state: &Arc<BackendState>) -> u32 {
    let leases = Arc::strong_count(state).saturating_sub(Arc::weak_count(state));
    u32::try_from(leases).unwrap_or(u32::MAX)
}

/// The same, never less.
fn in_flight_at_most(state: &Arc<BackendState>) -> u32 {
    // Looked at on both sides, because the holders of a new set may come or those of an old one go in between; in this
    // order, which not every processor keeps without the fences.
    let marks = Arc::weak_count(state);
    fence(Acquire);
    let references = Arc::strong_count(state);
    fence(Acquire);
    let leases = references.saturating_sub(marks.min(Arc::weak_count(state)));
    u32::try_from(leases).unwrap_or(u32::MAX)
}

/// Whether `max` connections of it are taken. Not inlined, for the sake of those without a limit.
#[inline(never)]
pub(crate) fn is_full(state: &Arc<BackendState>, max: NonZeroU32) -> bool {
    state.seats.is_full(max, || in_flight_at_most(state))
}

/// A reference to it that counts as a lease and has one of `max` seats.
#[cold]
pub(crate) fn take_seat(state: &Arc<BackendState>, max: NonZeroU32) -> Option<Arc<BackendState>> {
    if !state.seats.take(max, || in_flight_at_most(state)) {
        return None;
    }
    let lease = Arc::clone(state);
    // Where some stand, two may have come at once for the last place, both not in flight yet: then both may be refused.
    if state.seats.may_stand() && in_flight_at_most(state) > max.get() {
        state.seats.give_back();
        return None;
    }
    Some(lease)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::lease::Lease;
    use crate::time::Timestamp;

    #[test]
    fn leases_are_counted_and_holders_are_not() {
        let held = Held::new(BackendState::example());
        let other = held.clone();
        assert_eq!((held.in_flight(), other.in_flight()), (0, 0));
        let leases = [&held, &other]
            .map(|held| Lease::take(&held.state, None, Timestamp::default()).unwrap());
        assert_eq!((held.in_flight(), other.in_flight()), (2, 2));
        drop(held);
        assert_eq!(other.in_flight(), 2);
        drop(leases);
        assert_eq!(other.in_flight(), 0);
    }
}
