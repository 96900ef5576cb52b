//! Reasons for which the accept loop of an admin server ends.

use tokio_util::sync::CancellationToken;

/// Requests the end of the accept loop and of its connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    requested: CancellationToken,
    /// Cancelled before `requested`.
    closing: CancellationToken,
}

impl Stop {
    /// Requests the end. The socket stays open: another process serves clients in the kernel's queue.
    pub(super) fn pause(&self) {
        self.requested.cancel();
    }

    /// Requests the end. The socket is closed: clients in the kernel's queue are served before.
    pub(super) fn close(&self) {
        self.closing.cancel();
        self.requested.cancel();
    }

    pub(super) fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Completes once the end is requested.
    pub(super) async fn requested(&self) {
        self.requested.cancelled().await;
    }
}
