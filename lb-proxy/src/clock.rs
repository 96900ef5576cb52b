//! The runtime's clock in lb-core's unit of time.

use std::time::Duration;

use lb_core::Timestamp;
use tokio::time::Instant;

/// How far back a moment before the start can be expressed, for what another process remembered.
const BEFORE_START: Duration = Duration::from_secs(30 * 24 * 3600);

/// A clock that starts at a month. It stops while tokio's time is paused.
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
        self.at(Instant::now())
    }

    /// The timestamp of a moment after the start.
    pub(crate) fn at(self, moment: Instant) -> Timestamp {
        let elapsed = moment.saturating_duration_since(self.epoch);
        Timestamp::default().saturating_add(BEFORE_START + elapsed)
    }
}
