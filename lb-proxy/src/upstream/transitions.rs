//! The last changes of the backends of an upstream, for status pages.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use lb_core::{Endpoint, Health};

use super::Upstream;

/// How many changes are kept of each upstream.
const KEPT: usize = 64;

/// A change of a backend.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Transition {
    /// When it happened.
    pub at: SystemTime,
    /// The backend's address or path.
    pub backend: Endpoint,
    /// The backend's name, if it had one.
    pub name: Option<Arc<str>>,
    /// What happened.
    pub kind: TransitionKind,
}

/// What happened to a backend.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransitionKind {
    /// A failure to connect ejected it for some time. The end of that time is no event.
    Ejected,
    /// It became healthy.
    Healthy,
    /// It became unhealthy.
    Unhealthy,
}

impl From<Health> for TransitionKind {
    fn from(health: Health) -> Self {
        match health {
            Health::Healthy => Self::Healthy,
            _ => Self::Unhealthy,
        }
    }
}

/// The last changes, the oldest first. They outlive the backends.
#[derive(Debug, Default)]
pub(super) struct TransitionHistory(Mutex<VecDeque<Transition>>);

impl TransitionHistory {
    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Transition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream {
    /// The last 64 changes of the health of its backends and ejections, the oldest first. Reloads keep them.
    pub fn transitions(&self) -> Vec<Transition> {
        self.shared().transitions.lock().iter().cloned().collect()
    }

    /// Stores what happened to the backend at `addr`, unless it has left.
    pub(super) fn record_transition(&self, addr: SocketAddr, kind: TransitionKind) {
        let set = self.backends();
        let Some(backend) = set.snapshot().find(addr) else {
            return;
        };
        let transition = Transition {
            at: SystemTime::now(),
            backend: backend.endpoint(),
            name: backend.name.clone(),
            kind,
        };
        let mut kept = self.shared().transitions.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(transition);
    }
}
