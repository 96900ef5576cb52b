//! The record of one direction of a relay, for the summary of its session.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use crate::attempt_times::AttemptTimes;

/// The record of one direction, beside the counter of its bytes. Only sessions with an observer have one.
#[derive(Debug, Default)]
pub(crate) struct TrafficRecord {
    read: AtomicU64,
    added: AtomicU64,
    /// Whether the time of the first byte is kept.
    times_first_byte: bool,
    first_read: OnceLock<Instant>,
    ended: OnceLock<Instant>,
    /// Notified of the first byte, or of the end if no byte came.
    first_byte: Option<Arc<AttemptTimes>>,
}

// Inlined, what a relay calls would lengthen the path of the sessions without a record.
impl TrafficRecord {
    /// A record that keeps the time of the first byte, and notifies `first_byte` when that or the end of the source comes.
    pub(super) fn timing_first_byte(first_byte: Option<Arc<AttemptTimes>>) -> Self {
        Self {
            times_first_byte: true,
            first_byte,
            ..Self::default()
        }
    }

    /// Records `n` bytes that were read from the source.
    #[inline(never)]
    pub(super) fn note_read(&self, n: u64) {
        self.read.fetch_add(n, Relaxed);
        if self.times_first_byte {
            self.first_read.get_or_init(|| self.now_first());
        }
    }

    /// Records `n` bytes that the sink accepted and that are not the source's.
    #[inline(never)]
    pub(super) fn note_added(&self, n: u64) {
        self.added.fetch_add(n, Relaxed);
    }

    /// Records that the source has ended or was reset. The first call counts.
    #[inline(never)]
    pub(super) fn note_end(&self) {
        self.ended.get_or_init(|| self.now_first());
    }

    /// Now. Reports the first byte as well, which counts once.
    fn now_first(&self) -> Instant {
        if let Some(times) = &self.first_byte {
            times.first_byte();
        }
        Instant::now()
    }

    /// Bytes that were read from the source.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Bytes that the sink accepted and that are not the source's.
    pub(crate) fn added(&self) -> u64 {
        self.added.load(Relaxed)
    }

    /// When the first byte was read, or the end seen if no byte came. For a record that times the first byte.
    pub(crate) fn first_read(&self) -> Option<Instant> {
        self.first_read.get().or_else(|| self.ended.get()).copied()
    }

    /// When the source ended or was reset.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.ended.get().copied()
    }
}
