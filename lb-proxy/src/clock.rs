//! The runtime's clock in lb-core's unit of time.

use lb_core::Timestamp;
use tokio::time::Instant;

/// A clock that starts at zero. It stops while tokio's time is paused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }

    pub(crate) fn now(self) -> Timestamp {
        Timestamp::default().saturating_add(self.epoch.elapsed())
    }
}
