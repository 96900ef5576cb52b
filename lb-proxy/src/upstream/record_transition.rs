//! Records changes of an upstream's backends.

use std::net::SocketAddr;
use std::time::SystemTime;

use super::Upstream;
use super::transitions::{Transition, TransitionKind};

impl Upstream {
    /// The last 64 changes of the health of its backends and ejections, the oldest first. Reloads keep them.
    pub fn transitions(&self) -> Vec<Transition> {
        self.shared().transitions.list()
    }

    /// Stores what happened to the backend at `addr`, unless it has left.
    pub(super) fn record_transition(&self, addr: SocketAddr, kind: TransitionKind) {
        let set = self.backends();
        if let Some(backend) = set.backend(addr) {
            self.shared().transitions.add(Transition {
                at: SystemTime::now(),
                backend: backend.endpoint(),
                name: backend.name.clone(),
                kind,
            });
        }
    }
}
