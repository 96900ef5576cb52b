//! Hints to look again, with a limit on their rate.

use std::future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// As good as never, and far from where adding to an instant overflows.
pub(crate) const FAR: Duration = Duration::from_secs(86_400 * 365);

/// The receiving side of "look again soon".
///
/// Hints that arrive together count as one, and between two that are acted on lies at least `gap`. One that comes
/// too early is put off, not lost.
#[derive(Debug)]
pub(crate) struct Hints {
    received: watch::Receiver<()>,
    gap: Duration,
    pending: bool,
    not_before: Instant,
}

impl Hints {
    pub(crate) fn new(received: watch::Receiver<()>, gap: Duration) -> Self {
        Self {
            received,
            gap: gap.min(FAR),
            pending: false,
            not_before: Instant::now(),
        }
    }

    /// Waits for a hint, and then until it may be acted on. Cancelling the wait loses nothing.
    pub(crate) async fn next(&mut self) {
        if !self.pending {
            if self.received.changed().await.is_err() {
                return future::pending().await; // nobody is left to give one
            }
            self.pending = true;
        }
        sleep_until(self.not_before).await;
        self.pending = false;
        self.hold_off();
    }

    /// Drops the hints so far, because what they ask for is about to be done anyway.
    pub(crate) fn clear(&mut self) {
        self.pending = false;
        self.received.mark_unchanged();
    }

    /// Lets no hint through for the gap, counted from now.
    pub(crate) fn hold_off(&mut self) {
        self.not_before = Instant::now() + self.gap;
    }
}
