//! What is known of the panics of an upstream's policy and checks.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a line of one kind is logged. The panics of sessions have reports of their own.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What is known of the panics of an upstream.
#[derive(Debug, Default)]
pub(crate) struct UpstreamPanics {
    pub(super) policy: AtomicU64,
    pub(super) checks: AtomicU64,
    /// Picks of a backend that the session had tried already.
    pub(super) repeated: AtomicU64,
    state: Mutex<PanicState>,
}

#[derive(Debug, Default)]
pub(super) struct PanicState {
    /// Why the last set is not in use.
    pub(super) problem: Option<Arc<str>>,
    /// When each kind of line was logged last.
    logged: [Option<Instant>; 3],
}

/// The kinds of lines.
#[derive(Clone, Copy, Debug)]
pub(super) enum LogLine {
    Policy,
    RepeatedPick,
    Check,
}

impl UpstreamPanics {
    /// Whether a line of this kind may be logged now.
    pub(super) fn may_log(&self, line: LogLine) -> bool {
        let logged = &mut self.lock().logged[line as usize];
        let may = logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if may {
            *logged = Some(Instant::now());
        }
        may
    }

    /// No code that can panic runs under the lock.
    pub(super) fn lock(&self) -> MutexGuard<'_, PanicState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
