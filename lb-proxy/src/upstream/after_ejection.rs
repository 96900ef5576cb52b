//! Reports of the connections after an ejection.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Who waits for connections that are established after an ejection. One word, so that a session pays one load.
#[derive(Debug, Default)]
pub(super) struct AfterEjection(AtomicU8);

/// What waits for them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Interest {
    /// Subscribers of events.
    Events = 1,
    /// Readiness: the first one ends the time in which no backend is eligible.
    Readiness = 2,
}

impl AfterEjection {
    pub(super) fn set(&self, interest: Interest) {
        self.0.fetch_or(interest as u8, Relaxed);
    }

    pub(super) fn clear(&self, interest: Interest) {
        self.take(interest);
    }

    /// Whether anything waits. False positives are allowed, and a connection that races with an ejection may be missed.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    pub(super) fn has(&self, interest: Interest) -> bool {
        self.0.load(Relaxed) & interest as u8 != 0
    }

    /// Clears `interest`. Returns whether it was set.
    pub(super) fn take(&self, interest: Interest) -> bool {
        self.0.fetch_and(!(interest as u8), Relaxed) & interest as u8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interests_are_kept_apart() {
        let after = AfterEjection::default();
        assert!(!after.is_awaited());
        after.set(Interest::Events);
        after.set(Interest::Readiness);
        assert!(after.take(Interest::Readiness));
        assert!(!after.take(Interest::Readiness));
        assert!(after.is_awaited() && after.has(Interest::Events));
        after.clear(Interest::Events);
        assert!(!after.is_awaited());
    }
}
