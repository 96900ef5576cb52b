//! Limits of lines of the log that would come with every session or probe.

use std::time::Duration;

use tokio::time::Instant;

/// How often a line of one kind is logged.
const INTERVAL: Duration = Duration::from_secs(60);

/// When each of `N` kinds of lines was logged last.
#[derive(Debug)]
pub(super) struct LogLimits<const N: usize>([Option<Instant>; N]);

impl<const N: usize> LogLimits<N> {
    /// Whether a line of the kind `which` may be logged now, which the caller does then.
    pub(super) fn may_log(&mut self, which: usize) -> bool {
        let last = &mut self.0[which];
        let may = last.is_none_or(|last| last.elapsed() >= INTERVAL);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

impl<const N: usize> Default for LogLimits<N> {
    fn default() -> Self {
        Self([None; N])
    }
}
