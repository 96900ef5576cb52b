//! `max_conns`: never one connection too many, never one refused without need.

use std::num::NonZeroU32;

use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// How many connections of a limited backend are taken.
///
/// Counted apart from the connections in flight, which are reference counts and cannot be raised on a condition.
/// Connections that were picked while there was no limit are in flight but have no seat: they stand. Where some may,
/// the connections in flight are asked as well.
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

    /// Takes one of `max` seats.
    ///
    /// A loop instead of add, check and undo: an undone add could refuse a seat that another thread just freed.
    pub(crate) fn take(&self, max: NonZeroU32) -> bool {
        let more = |taken| (taken < max.get()).then(|| taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Gives one back.
    pub(crate) fn give_back(&self) {
        let before = self.taken.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "given back more often than taken");
    }

    pub(crate) fn taken(&self) -> u32 {
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
        assert!(seats.take(TWO));
        assert!(seats.take(TWO));
        assert!(!seats.take(TWO));
        seats.give_back();
        assert!(seats.take(TWO));
        assert_eq!(seats.taken(), 2);
    }
}
