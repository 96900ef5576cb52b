//! The runtime's clock as lb-core counts time.

use lb_core::Timestamp;
use tokio::time::Instant;

/// Counts from its creation, and stands still while tokio's time is paused.
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
