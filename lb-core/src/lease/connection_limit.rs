//! `max_conns`: never one connection too many, and none refused while there is room.

use std::hint::spin_loop;
use std::num::NonZeroU32;

use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// The permits of a backend with `max_conns`, one for each of its leases.
///
/// The connections in flight are reference counts and cannot be incremented under a condition, so permits are counted
/// apart from them. Both numbers are compared with the limit, because each can be too small for a moment:
///
/// - a lease that was taken while the backend had no limit is in flight and has no permit;
/// - a lease that is ending releases its permit before its reference.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    permits: AtomicU32,
    /// Whether there may be leases without a permit.
    has_unpermitted: AtomicBool,
}

impl ConnectionLimit {
    pub(crate) fn new() -> Self {
        Self {
            permits: AtomicU32::new(0),
            has_unpermitted: AtomicBool::new(false),
        }
    }

    /// Acquires one of `max` permits, given how many connections are in flight.
    ///
    /// A compare-and-swap loop instead of add, check and undo: between the add and the undo another thread would see
    /// the backend full although it has room.
    pub(crate) fn acquire(&self, max: NonZeroU32, in_flight: impl Fn() -> u32) -> bool {
        let mut permits = self.permits();
        loop {
            let result = if self.is_full_at(permits, max, &in_flight) {
                // A refusal counts only if both numbers belong to one moment.
                let now = self.permits();
                if now == permits { Ok(false) } else { Err(now) }
            } else {
                self.permits
                    .compare_exchange(permits, permits + 1, Relaxed, Relaxed)
                    .map(|_| true)
            };
            match result {
                Ok(acquired) => return acquired,
                Err(now) => permits = now,
            }
        }
    }

    /// Whether `max` permits are acquired or `max` connections are in flight.
    pub(crate) fn is_full(&self, max: NonZeroU32, in_flight: impl Fn() -> u32) -> bool {
        self.is_full_at(self.permits(), max, &in_flight)
    }

    fn is_full_at(&self, permits: u32, max: NonZeroU32, in_flight: &impl Fn() -> u32) -> bool {
        let full = |n: u32| n >= max.get();
        full(permits)
            || full(in_flight()) && {
                // While an update runs the count may be one too large, for some nanoseconds.
                spin_loop();
                full(in_flight())
            }
    }

    /// Releases one permit.
    pub(crate) fn release(&self) {
        let before = self.permits.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "released more often than acquired");
    }

    fn permits(&self) -> u32 {
        self.permits.load(Relaxed)
    }

    /// Notes that a limit is set while connections without a permit may be in flight.
    pub(crate) fn note_unpermitted(&self) {
        self.has_unpermitted.store(true, Relaxed);
    }

    /// Whether there may be connections without a permit.
    pub(crate) fn has_unpermitted(&self) -> bool {
        self.has_unpermitted.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

    #[test]
    fn released_permits_can_be_acquired_again() {
        let limit = ConnectionLimit::new();
        assert!(limit.acquire(TWO, || 0));
        assert!(limit.acquire(TWO, || 1));
        assert!(!limit.acquire(TWO, || 2));
        limit.release();
        assert!(limit.acquire(TWO, || 1));
        assert!(limit.is_full(TWO, || 2));
    }

    #[test]
    fn connections_from_before_the_limit_count_towards_it() {
        let limit = ConnectionLimit::new();
        assert!(!limit.acquire(TWO, || 5));
        assert!(limit.acquire(TWO, || 1), "one of two is in flight");
        assert!(
            !limit.acquire(TWO, || 2),
            "one permit, one in flight without"
        );
    }
}
