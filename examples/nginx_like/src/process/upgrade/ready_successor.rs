//! The process of the new binary once it is ready, for the thread that handles signals.

use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_proxy::readiness_report::notify_main_pid;

use super::successor::Successor;

/// The process of the new binary, if one is ready.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadySuccessor(Arc<Mutex<Option<Arc<Successor>>>>);

impl ReadySuccessor {
    pub(super) fn set(&self, successor: Option<Arc<Successor>>) {
        *self.lock() = successor;
    }

    /// Whether there is one.
    pub(crate) fn is_some(&self) -> bool {
        self.lock().is_some()
    }

    /// Leaves everything to the process of the new binary, because this one ends. That process may be upgraded from now on,
    /// whatever sessions this one still has, and systemd takes it for the service. Returns whether there is one.
    pub(super) fn leave(&self) -> bool {
        let successor = self.lock();
        if let Some(successor) = &*successor {
            notify_main_pid(successor.pid);
            // An error means that the process has ended.
            let _ = successor.channel.shutdown(Shutdown::Write);
        }
        successor.is_some()
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Successor>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
