//! The bytes that a relay moved, for sessions whose bytes are counted with those of their worker.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::pump::Pump;

/// The bytes that were read and those that the receivers accepted. Zero until the relay ends.
#[derive(Debug, Default)]
pub(crate) struct RelayTotals {
    from_client: AtomicU64,
    from_backend: AtomicU64,
    to_backend: AtomicU64,
    /// Bytes that the backend accepted and that are not the client's.
    added: AtomicU64,
    to_client: AtomicU64,
}

impl RelayTotals {
    pub(super) fn store(&self, up: &Pump<'_>, down: &Pump<'_>) {
        self.from_client.store(up.received(), Relaxed);
        self.from_backend.store(down.received(), Relaxed);
        self.to_backend.store(up.sent() - up.added(), Relaxed);
        self.added.store(up.added(), Relaxed);
        self.to_client.store(down.sent(), Relaxed);
    }

    pub(crate) fn bytes_from_client(&self) -> u64 {
        self.from_client.load(Relaxed)
    }

    pub(crate) fn bytes_to_backend(&self) -> u64 {
        self.to_backend.load(Relaxed)
    }

    pub(crate) fn bytes_to_client(&self) -> u64 {
        self.to_client.load(Relaxed)
    }

    pub(crate) fn bytes_from_backend(&self) -> u64 {
        self.from_backend.load(Relaxed)
    }

    /// The bytes that the backend accepted, those that are not the client's included.
    pub(crate) fn bytes_sent(&self) -> u64 {
        self.bytes_to_backend() + self.added.load(Relaxed)
    }
}
