//! Stops a pick in the middle, for a test.

use std::sync::Barrier;

use crate::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Stops the first pick that comes to it: once for the test to notice, once until the test lets it continue.
#[derive(Debug)]
pub(crate) struct Gate {
    passed: AtomicBool,
    barrier: Barrier,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            passed: AtomicBool::new(false),
            barrier: Barrier::new(2),
        }
    }

    /// Whether this is the first pick that comes.
    pub(crate) fn is_first(&self) -> bool {
        !self.passed.swap(true, SeqCst)
    }

    /// Waits for the other side.
    pub(crate) fn meet(&self) {
        self.barrier.wait();
    }
}
