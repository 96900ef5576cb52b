//! The process of the new binary once it is ready, for the thread that handles signals.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_proxy::readiness_report::notify_main_pid;

use super::message::{has_shut_down, leave_to_peer};
use super::successor::Successor;

/// The process of the new binary, if one is ready.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadySuccessor(Arc<Mutex<SuccessorState>>);

#[derive(Debug, Default)]
struct SuccessorState {
    successor: Option<Arc<Successor>>,
    /// This process has begun to end.
    is_ending: bool,
}

impl ReadySuccessor {
    /// Sets the process, which is ready. If this one ends already, leaves everything to it.
    pub(super) fn set(&self, successor: &Arc<Successor>) {
        let mut state = self.lock();
        state.successor = Some(Arc::clone(successor));
        if state.is_ending {
            state.leave();
        }
    }

    /// The process begins to end.
    pub(super) fn clear(&self) {
        self.lock().successor = None;
    }

    /// Whether there is one.
    pub(crate) fn is_some(&self) -> bool {
        self.lock().successor.is_some()
    }

    /// Leaves everything to the process of the new binary, because this one ends. That process may be upgraded from now on,
    /// whatever sessions this one still has, and systemd takes it for the service. Returns whether there is one that serves on. One
    /// that becomes ready later gets everything then.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.lock();
        state.is_ending = true;
        state.leave()
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, SuccessorState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SuccessorState {
    fn leave(&mut self) -> bool {
        let serves = self.successor.as_ref().is_some_and(|successor| {
            if has_shut_down(&successor.channel) {
                return false;
            }
            notify_main_pid(successor.pid);
            leave_to_peer(&successor.channel)
        });
        if !serves {
            self.successor = None;
        }
        serves
    }
}
