//! State references, and how many leases there are beside them.

use crate::sync::atomic::Ordering::{Acquire, Release};
use crate::sync::atomic::fence;
use crate::sync::{Arc, Weak};

/// A strong reference to a backend's state that is not a lease.
///
/// It has a weak reference beside the strong one, its [`Discount`]. A lease has none, so the leases are the strong
/// references less the weak ones. The page of [`lease`](crate::lease) has the whole protocol.
#[derive(Debug)]
pub(crate) struct StateRef<S> {
    // Fields drop in their order: the discount before the strong reference.
    discount: Discount<S>,
    state: Arc<S>,
}

/// The weak reference that takes one strong reference out of the count of leases. Dropped before that reference.
#[derive(Debug)]
pub(crate) struct Discount<S>(#[expect(dead_code, reason = "counted, not followed")] Weak<S>);

impl<S> StateRef<S> {
    pub(crate) fn new(state: S) -> Self {
        Self::to(&Arc::new(state))
    }

    /// One more reference to `state`.
    pub(crate) fn to(state: &Arc<S>) -> Self {
        let state = Arc::clone(state);
        // Release: pairs with the first Acquire fence in `in_flight_at_most`. A thread that counts the discount counts
        // the strong reference as well. The table in `lease` names the models that fail without the fences of this file.
        fence(Release);
        Self {
            discount: Discount(Arc::downgrade(&state)),
            state,
        }
    }

    pub(crate) fn state(&self) -> &S {
        &self.state
    }

    pub(crate) fn in_flight(&self) -> u32 {
        in_flight(&self.state)
    }

    /// The strong reference and its discount, for an owner that stores them apart. It has to drop the discount first.
    pub(crate) fn into_parts(self) -> (Arc<S>, Discount<S>) {
        (self.state, self.discount)
    }
}

impl<S> Clone for StateRef<S> {
    fn clone(&self) -> Self {
        Self::to(&self.state)
    }
}

/// How many leases of `state` there are. While an update runs it may be one off, in either direction.
#[inline]
pub(crate) fn in_flight<S>(state: &Arc<S>) -> u32 {
    let leases = Arc::strong_count(state).saturating_sub(Arc::weak_count(state));
    u32::try_from(leases).unwrap_or(u32::MAX)
}

/// How many leases of `state` there are at the most. While an update runs it may be too large, but never too small.
///
/// Reads the weak count before and after the strong count. The updater may make state references or drop them in
/// between, and the smaller weak count can only count leases that are none.
pub(crate) fn in_flight_at_most<S>(state: &Arc<S>) -> u32 {
    let before = Arc::weak_count(state);
    // Acquire: pairs with the Release fence in `StateRef::to`. The strong count is not read before the weak count.
    fence(Acquire);
    let references = Arc::strong_count(state);
    // Acquire: pairs with the Release decrements of a discount and its reference. The second weak count is not read before the
    // strong count.
    fence(Acquire);
    let discounts = before.min(Arc::weak_count(state));
    let leases = references.saturating_sub(discounts);
    u32::try_from(leases).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_counted_and_state_references_are_not() {
        let reference = StateRef::new(());
        let other = reference.clone();
        assert_eq!((reference.in_flight(), other.in_flight()), (0, 0));
        let leases = [&reference, &other].map(|reference| Arc::clone(&reference.state));
        assert_eq!((reference.in_flight(), other.in_flight()), (2, 2));
        assert_eq!(in_flight_at_most(&leases[0]), 2);
        drop(reference);
        assert_eq!(other.in_flight(), 2);
        drop(leases);
        assert_eq!(other.in_flight(), 0);
    }
}
