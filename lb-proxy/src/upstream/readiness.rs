//! An upstream's conditions of the readiness of a server.

use std::sync::Arc;

use lb_core::{PickRequest, Timestamp, Tried};
use tokio::time::Instant;

use super::Upstream;
use crate::readiness::ReadinessSignal;

impl Upstream {
    /// Whether a server without a backend for it is not ready; see
    /// [`UpstreamBuilder::essential`](super::UpstreamBuilder::essential).
    pub fn is_essential(&self) -> bool {
        self.description().essential
    }

    /// Whether some backend could be picked for a new connection now if it has room. O(n).
    pub fn has_usable_backend(&self) -> bool {
        let tried = Tried::new();
        let request = PickRequest::new(&tried);
        self.shared().balancer.has_candidate(&request, self.now())
    }

    /// When the next ejection ends, if a backend is ejected now. O(n).
    pub(crate) fn next_return(&self) -> Option<Instant> {
        let now = self.now();
        let set = self.backends();
        let ends = set.status(now).filter_map(|status| status.ejected_until);
        // An ejection by a fail limit lasts through the moment of its end.
        let end = ends.min()?.as_nanos().saturating_add(1);
        let left = Timestamp::from_nanos(end).saturating_since(now);
        Instant::now().checked_add(left)
    }

    /// Signals `signal` from now on when readiness may have changed.
    pub(crate) fn observe_readiness(&self, signal: &Arc<ReadinessSignal>) {
        self.shared().observers.add(signal);
    }

    pub(super) fn readiness_changed(&self) {
        self.shared().observers.changed();
    }
}
