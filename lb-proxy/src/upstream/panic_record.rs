//! The record of panics of an upstream's policy and checks.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::log_limits::LogLimits;

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
    /// By [`LogLine`]. The panics of sessions have reports of their own.
    log_limits: LogLimits<4>,
}

/// The kinds of lines.
#[derive(Clone, Copy, Debug)]
pub(super) enum LogLine {
    Policy,
    RepeatedPick,
    Check,
    /// Functions of the embedder.
    Function,
}

impl UpstreamPanics {
    /// Whether a line of this kind may be logged now.
    pub(super) fn may_log(&self, line: LogLine) -> bool {
        self.lock().log_limits.may_log(line as usize)
    }

    /// No code that can panic runs under the lock.
    pub(super) fn lock(&self) -> MutexGuard<'_, PanicState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
