//! `max_conns`: never one connection too many, never one refused without need.

use std::hint::spin_loop;
use std::num::NonZeroU32;

use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// How many connections of a limited backend are taken.
///
/// Counted apart from the connections in flight, which are reference counts and cannot be raised on a condition.
/// Both are asked: connections that were picked while there was no limit are in flight but have no seat, they stand; and
/// one that is ending has given its seat back for a moment before it ceases to be in flight.
#[derive(Debug)]
pub(crate) struct Seats {
    taken: AtomicU32,
    standing: AtomicBool,
}

impl Seats {
    pub(crate) fn new() -> Self {
        Self {
            taken: AtomicU32::new(0),
            standing: AtomicBool::new(false),
        }
    }

    /// Takes one of `max` seats, given how many connections are in flight.
    ///
    /// A loop instead of add, check and undo: an undone add could refuse a seat that another thread just freed.
    pub(crate) fn take(&self, max: NonZeroU32, in_flight: impl Fn() -> u32) -> bool {
        let mut taken = self.taken();
        loop {
            let found = if self.is_full_of(taken, max, &in_flight) {
                // Refused only if the numbers belong together.
                let now = self.taken();
                if now == taken { Ok(false) } else { Err(now) }
            } else {
                self.taken
                    .compare_exchange(taken, taken + 1, Relaxed, Relaxed)
                    .map(|_| true)
            };
            match found {
                Ok(took) => return took,
                Err(now) => taken = now,
            }
        }
    }

    /// Whether `max` connections have seats or are in flight.
    pub(crate) fn is_full(&self, max: NonZeroU32, in_flight: impl Fn() -> u32) -> bool {
        self.is_full_of(self.taken(), max, &in_flight)
    }

    fn is_full_of(&self, taken: u32, max: NonZeroU32, in_flight: &impl Fn() -> u32) -> bool {
        let full = |n: u32| n >= max.get();
        full(taken)
            || full(in_flight()) && {
                // For some nanoseconds of an update one more may seem to be in flight.
                spin_loop();
                full(in_flight())
            }
    }

    /// Gives one back.
    pub(crate) fn give_back(&self) {
        let before = self.taken.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "given back more often than taken");
    }

    fn taken(&self) -> u32 {
        self.taken.load(Relaxed)
    }

    /// A limit comes while connections may be in flight.
    pub(crate) fn let_stand(&self) {
        self.standing.store(true, Relaxed);
    }

    /// Whether there may be connections without a seat.
    pub(crate) fn may_stand(&self) -> bool {
        self.standing.load(Relaxed)
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
        assert!(seats.is_full(TWO, || 2));
    }

    #[test]
    fn who_came_before_the_limit_counts_towards_it() {
        let seats = Seats::new();
        assert!(!seats.take(TWO, || 5));
        assert!(seats.take(TWO, || 1), "one of two is in flight, none sits");
        assert!(!seats.take(TWO, || 2), "one sits, one stands");
    }
}
