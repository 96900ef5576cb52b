//! `max_conns`: never one connection too many, never one refused without need.

use std::num::NonZeroU32;

use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How many connections of a limited backend are taken.
///
/// Counted apart from the connections in flight, which are reference counts and cannot be raised on a condition.
/// Connections that were picked while there was no limit are in flight but have no seat; they are counted towards a
/// limit that comes later.
#[derive(Debug)]
pub(crate) struct Seats(AtomicU32);

impl Seats {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Takes one of `max` seats, given how many connections are in flight.
    ///
    /// A loop instead of add, check and undo: an undone add could refuse a seat that another thread just freed.
    pub(crate) fn take(&self, max: NonZeroU32, in_flight: impl Fn() -> u32) -> bool {
        let mut taken = self.0.load(Relaxed);
        loop {
            // A lease is counted after its seat was taken and until it was given back, so in a quiet moment this is 0.
            let standing = in_flight().saturating_sub(taken);
            let found = if taken.saturating_add(standing) < max.get() {
                self.0
                    .compare_exchange(taken, taken + 1, Relaxed, Relaxed)
                    .map(|_| true)
            } else {
                // Refused only if the two numbers belong together.
                let now = self.0.load(Relaxed);
                if now == taken { Ok(false) } else { Err(now) }
            };
            match found {
                Ok(took) => return took,
                Err(now) => taken = now,
            }
        }
    }

    /// Gives one back.
    pub(crate) fn give_back(&self) {
        let before = self.0.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "given back more often than taken");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

    #[test]
    fn seats_come_back() {
        let seats = Seats::new();
        assert!(seats.take(TWO, || 0));
        assert!(seats.take(TWO, || 1));
        assert!(!seats.take(TWO, || 2));
        seats.give_back();
        assert!(seats.take(TWO, || 1));
    }

    #[test]
    fn who_came_before_the_limit_counts_towards_it() {
        let seats = Seats::new();
        assert!(!seats.take(TWO, || 5));
        assert!(seats.take(TWO, || 1), "one of two is in flight, none sits");
        assert!(!seats.take(TWO, || 2), "one sits, one stands");
    }
}
