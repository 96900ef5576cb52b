//! Hints to refresh, with a limit on their rate.

use std::future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// A year: effectively never, and short enough that adding it to an instant cannot overflow.
pub(crate) const FAR: Duration = Duration::from_secs(86_400 * 365);

/// The receiver of refresh hints.
///
/// Hints that arrive together count as one. [`next`](Self::next) returns hints at least `gap` apart: one that arrives
/// earlier is delayed, not lost.
#[derive(Debug)]
pub(crate) struct RefreshHints {
    received: watch::Receiver<()>,
    gap: Duration,
    pending: bool,
    not_before: Instant,
}

impl RefreshHints {
    pub(crate) fn new(received: watch::Receiver<()>, gap: Duration) -> Self {
        Self {
            received,
            gap: gap.min(FAR),
            pending: false,
            not_before: Instant::now(),
        }
    }

    /// Waits for a hint, and then until the gap is over. Cancel-safe.
    pub(crate) async fn next(&mut self) {
        if !self.pending {
            if self.received.changed().await.is_err() {
                return future::pending().await; // every sender was dropped
            }
            self.pending = true;
        }
        sleep_until(self.not_before).await;
        self.pending = false;
        self.hold_off();
    }

    /// Discards the hints so far: the caller refreshes anyway.
    pub(crate) fn clear(&mut self) {
        self.pending = false;
        self.received.mark_unchanged();
    }

    /// Delays hints until the gap, counted from now, is over.
    pub(crate) fn hold_off(&mut self) {
        self.not_before = Instant::now() + self.gap;
    }
}
