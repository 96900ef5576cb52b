//! What is remembered of a backend while it is known, whatever else changes about it.

use std::num::NonZeroU32;

use crate::connect_average::ConnectAverage;
use crate::ewma::PeakEwma;
use crate::outlier::FailureRecord;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::time::Timestamp;

/// The state of one backend, shared by every set that it is part of and by its leases.
///
/// Aligned to the two cache lines that current processors fetch together, so that backends picked by different
/// threads do not slow each other down.
///
/// Relaxed accesses suffice: each field is one word that agrees with itself, and no other memory is read on the
/// strength of one.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct BackendState {
    in_flight: AtomicU32,
    pub(crate) failures: FailureRecord,
    pub(crate) connect_time: PeakEwma,
    pub(crate) connect_average: ConnectAverage,
    joined_at: Timestamp,
    /// Turns taken among the backends of one name, counted at the first of them.
    pub(crate) turns: AtomicU64,
}

impl BackendState {
    pub(crate) fn new(joined_at: Timestamp) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            failures: FailureRecord::new(),
            connect_time: PeakEwma::new(),
            connect_average: ConnectAverage::new(joined_at),
            joined_at,
            turns: AtomicU64::new(0),
        }
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(crate) const fn joined_at(&self) -> Timestamp {
        self.joined_at
    }

    /// Counts one more connection unless `max_conns` are in flight.
    pub(crate) fn acquire(&self, max_conns: Option<NonZeroU32>) -> bool {
        let Some(max) = max_conns else {
            self.in_flight.fetch_add(1, Relaxed);
            return true;
        };
        // A loop instead of add, check and undo: an undone add could refuse a slot that another thread just freed.
        let taken = |n: u32| (n < max.get()).then(|| n + 1);
        self.in_flight.fetch_update(Relaxed, Relaxed, taken).is_ok()
    }

    pub(crate) fn release(&self) {
        let before = self.in_flight.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "released more often than acquired");
    }
}
