//! Live counters.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// A live counter. All operations are relaxed: a reader may see counters of different moments.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A live counter of ends. A reader that reads it before a [`Counter`] of begins never sees more ends than begins.
#[derive(Debug, Default)]
pub(crate) struct EndCounter(AtomicU64);

impl EndCounter {
    pub(crate) fn increment(&self) {
        // Release: pairs with the Acquire load in `get`. The begin was counted before.
        self.0.fetch_add(1, Release);
    }

    pub(crate) fn get(&self) -> u64 {
        // Acquire: pairs with the Release addition in `increment`.
        self.0.load(Acquire)
    }
}
