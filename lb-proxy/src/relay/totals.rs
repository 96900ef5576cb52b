//! The bytes that a relay moved, for sessions whose bytes are counted with those of their worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use lb_core::Backend;

use super::pump::Pump;
use crate::hooks::{AttemptOutcome, AttemptReport};

/// The bytes that the receivers accepted. Zero until the relay ends.
#[derive(Debug, Default)]
pub(crate) struct RelayTotals {
    from_client: AtomicU64,
    /// With the bytes that are not the client's.
    to_backend: AtomicU64,
    to_client: AtomicU64,
}

impl RelayTotals {
    pub(super) fn store(&self, up: &Pump<'_>, down: &Pump<'_>) {
        self.from_client.store(up.sent() - up.added(), Relaxed);
        self.to_backend.store(up.sent(), Relaxed);
        self.to_client.store(down.sent(), Relaxed);
    }

    pub(crate) fn bytes_from_client(&self) -> u64 {
        self.from_client.load(Relaxed)
    }

    pub(crate) fn bytes_to_client(&self) -> u64 {
        self.to_client.load(Relaxed)
    }

    /// The attempt that connected to `backend`, without its times.
    pub(crate) fn report(&self, backend: Arc<Backend>) -> AttemptReport {
        AttemptReport {
            backend,
            outcome: AttemptOutcome::Connected,
            error: None,
            connected_after: None,
            first_byte_after: None,
            elapsed: Duration::ZERO,
            bytes_sent: self.to_backend.load(Relaxed),
            bytes_received: self.bytes_to_client(),
        }
    }
}
