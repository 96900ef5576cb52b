//! How many probes run at once, all checks of all upstreams of a server together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::list::most_probes;

/// What a probe needs beside its check's own limit. Probes that wait get it in the order of their requests, whatever their
/// upstream. A clone shares the permits.
#[derive(Clone, Debug)]
pub(crate) struct ProbePermits(Arc<Semaphore>);

impl Default for ProbePermits {
    /// As many as all probes may take descriptors.
    fn default() -> Self {
        Self::new(most_probes())
    }
}

impl ProbePermits {
    pub(crate) fn new(probes: usize) -> Self {
        Self(Arc::new(Semaphore::new(probes.min(Semaphore::MAX_PERMITS))))
    }

    /// Waits for a permit. It is returned when the value is dropped.
    pub(super) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        // An error would say that the semaphore is closed, which nothing does.
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}
