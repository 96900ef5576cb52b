//! The timer of `flush=`: one for a log, whatever the number of its lines.

use std::sync::{Arc, Weak};

use tokio::runtime;
use tokio::time::{Instant, sleep_until};

use super::queue::Queue;

/// Writes gathered lines when they are due, as long as lines are gathered. `F` starts the thread of the log if its argument says
/// that one is needed.
pub(super) struct FlushTimer<F: Fn(&Arc<Queue>, bool)> {
    /// The timer keeps no queue alive: a log that is dropped writes its lines.
    queue: Weak<Queue>,
    start_if: F,
    has_ended: bool,
}

impl<F: Fn(&Arc<Queue>, bool) + Send + 'static> FlushTimer<F> {
    /// Waits until `due`, and longer while lines are gathered. Without a runtime, as at the end of the process, writes the
    /// lines now.
    pub(super) fn start(queue: &Arc<Queue>, due: Instant, start_if: F) {
        let timer = Self {
            queue: Arc::downgrade(queue),
            start_if,
            has_ended: false,
        };
        // Without a runtime the timer is dropped here, which writes the lines.
        if let Ok(runtime) = runtime::Handle::try_current() {
            drop(runtime.spawn(timer.run(due)));
        }
    }

    async fn run(mut self, mut due: Instant) {
        loop {
            sleep_until(due).await;
            let Some(queue) = self.queue.upgrade() else {
                return;
            };
            match queue.ripen_due() {
                Ok(needs_thread) => {
                    self.has_ended = true;
                    (self.start_if)(&queue, needs_thread);
                    return;
                }
                Err(later) => due = later,
            }
        }
    }
}

impl<F: Fn(&Arc<Queue>, bool)> Drop for FlushTimer<F> {
    /// The runtime of a timer may end before its log does: the lines are written, and the next ones get another timer.
    fn drop(&mut self) {
        if !self.has_ended
            && let Some(queue) = self.queue.upgrade()
        {
            (self.start_if)(&queue, queue.ripen_now());
        }
    }
}
