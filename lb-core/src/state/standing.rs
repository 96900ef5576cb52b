//! What a pick sees of a backend at first glance: one word beside the reference counts, on the same cache line.
//!
//! Mostly it says that there is nothing to see, and a pick need not read what failures, ejections and checks left.
//! Where it says that there may be something, they are asked: it may be raised in vain, but never lowered in vain.

use crate::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug)]
pub(crate) struct Glance(AtomicU32);

/// A failure, an ejection or a check may speak against the backend.
const DOUBT: u32 = 0b01;
/// Its leases are noted on a board.
const PLACED: u32 = 0b10;
/// The bits above count the doubts.
const ONE_DOUBT: u32 = 0b100;

impl Glance {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[inline]
    pub(crate) fn is_doubtful(&self) -> bool {
        self.0.load(Ordering::Relaxed) & DOUBT != 0
    }

    #[inline]
    pub(crate) fn is_placed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & PLACED != 0
    }

    /// Says that something speaks against the backend, after it has been noted.
    pub(crate) fn doubt(&self) {
        let doubted = |word: u32| Some(word.wrapping_add(ONE_DOUBT) | DOUBT);
        // The closure always returns a word.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, doubted);
    }

    /// Takes the doubt back if `is_sound` says that nothing speaks against the backend, and no new doubt comes meanwhile.
    pub(crate) fn settle(&self, is_sound: impl Fn() -> bool) {
        let settled = |word: u32| (word & DOUBT != 0 && is_sound()).then_some(word & !DOUBT);
        // Refused where the doubt stays.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, settled);
    }

    /// Says whether the leases are noted.
    pub(crate) fn set_placed(&self, placed: bool) {
        if placed {
            self.0.fetch_or(PLACED, Ordering::AcqRel);
        } else {
            self.0.fetch_and(!PLACED, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_stays_until_it_is_settled() {
        let glance = Glance::new();
        assert!(!glance.is_doubtful());
        glance.doubt();
        glance.settle(|| false);
        assert!(glance.is_doubtful());
        glance.settle(|| true);
        assert!(!glance.is_doubtful());
    }

    #[test]
    fn a_doubt_that_comes_meanwhile_stays() {
        let glance = Glance::new();
        glance.doubt();
        let asked = std::cell::Cell::new(0);
        glance.settle(|| {
            asked.set(asked.get() + 1);
            if asked.get() == 1 {
                glance.doubt();
            }
            asked.get() == 1
        });
        assert_eq!(asked.get(), 2);
        assert!(glance.is_doubtful());
    }

    #[test]
    fn being_placed_is_another_matter() {
        let glance = Glance::new();
        glance.doubt();
        glance.set_placed(true);
        glance.settle(|| true);
        assert!(glance.is_placed() && !glance.is_doubtful());
        glance.set_placed(false);
        assert!(!glance.is_placed());
    }
}
