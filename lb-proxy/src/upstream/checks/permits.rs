//! The limit on simultaneous probes, for all checks of all upstreams of a server together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::list::most_probes;

/// The permits of probes, besides the limit of each check. Probes that wait acquire a permit in the order of their requests,
/// across upstreams. Clones share the permits.
#[derive(Clone, Debug)]
pub(crate) struct ProbePermits(Arc<Semaphore>);

impl Default for ProbePermits {
    /// One permit for each descriptor that all probes together may take.
    fn default() -> Self {
        Self::new(most_probes())
    }
}

impl ProbePermits {
    pub(crate) fn new(probes: usize) -> Self {
        Self(Arc::new(Semaphore::new(probes.min(Semaphore::MAX_PERMITS))))
    }

    /// Waits for a permit, which its drop releases.
    pub(super) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        // An error would mean that the semaphore is closed. No code closes it.
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}
