//! The standing word: what a pick reads of a backend first.
//!
//! One word beside the reference counts, on the same cache line. Mostly it says that nothing speaks against the backend,
//! and then a pick need not read its failures, ejections and checks. Conservative: a backend may be suspect without a
//! reason, but never has one without being suspect.

use crate::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug)]
pub(crate) struct Standing(AtomicU32);

/// A failure, an ejection or a check may speak against the backend.
const SUSPECT: u32 = 0b01;
/// Its leases update a load index.
const INDEXED: u32 = 0b10;
/// The bits above count how often it became suspect.
const ONE_SUSPICION: u32 = 0b100;

impl Standing {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[inline]
    pub(crate) fn is_suspect(&self) -> bool {
        self.0.load(Ordering::Relaxed) & SUSPECT != 0
    }

    #[inline]
    pub(crate) fn is_indexed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & INDEXED != 0
    }

    /// Makes the backend suspect. The caller has stored the reason before.
    pub(crate) fn suspect(&self) {
        let suspected = |word: u32| Some(word.wrapping_add(ONE_SUSPICION) | SUSPECT);
        // AcqRel: pairs with the exchange in `clear_if`. A thread that reads this word reads the reason as well. The
        // closure always returns a word.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, suspected);
    }

    /// Clears the suspicion if `is_clean` says that there is no reason, unless another thread calls
    /// [`suspect`](Self::suspect) meanwhile: that changes the count in the word, so the exchange fails and the reasons are
    /// read again.
    pub(crate) fn clear_if(&self, is_clean: impl Fn() -> bool) {
        let cleared = |word: u32| (word & SUSPECT != 0 && is_clean()).then_some(word & !SUSPECT);
        // The closure returns nothing where the backend stays suspect.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, cleared);
    }

    /// Stores whether leases update a load index.
    pub(crate) fn set_indexed(&self, indexed: bool) {
        if indexed {
            self.0.fetch_or(INDEXED, Ordering::AcqRel);
        } else {
            self.0.fetch_and(!INDEXED, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspicion_stays_until_its_reason_is_gone() {
        let standing = Standing::new();
        assert!(!standing.is_suspect());
        standing.suspect();
        standing.clear_if(|| false);
        assert!(standing.is_suspect());
        standing.clear_if(|| true);
        assert!(!standing.is_suspect());
    }

    #[test]
    fn a_suspicion_that_comes_while_another_is_cleared_stays() {
        let standing = Standing::new();
        standing.suspect();
        let asked = std::cell::Cell::new(0);
        standing.clear_if(|| {
            asked.set(asked.get() + 1);
            if asked.get() == 1 {
                standing.suspect();
            }
            asked.get() == 1
        });
        assert_eq!(asked.get(), 2);
        assert!(standing.is_suspect());
    }

    #[test]
    fn suspicion_and_index_do_not_touch_each_other() {
        let standing = Standing::new();
        standing.suspect();
        standing.set_indexed(true);
        standing.clear_if(|| true);
        assert!(standing.is_indexed() && !standing.is_suspect());
        standing.set_indexed(false);
        assert!(!standing.is_indexed());
    }
}
