//! What cuts a session off while it relays.

use std::future::pending;

use tokio::select;
use tokio_util::sync::CancellationToken;

use crate::close_reason::CloseReason;
use crate::upstream::drain::LossWatcher;

/// Completes when the shutdown cuts the session off.
pub(super) async fn aborted(cut_off: &CancellationToken) -> CloseReason {
    cut_off.cancelled().await;
    CloseReason::Aborted
}

/// Completes when the shutdown cuts the session off, or when the session is due to end because its backend was lost or its
/// listener was removed.
pub(super) async fn lost(
    watcher: Option<LossWatcher>,
    removed: Option<CancellationToken>,
    cut_off: &CancellationToken,
) -> CloseReason {
    let backend_lost = async {
        match watcher {
            Some(watcher) => watcher.due().await,
            None => pending().await,
        }
    };
    let listener_removed = async {
        match removed {
            Some(removed) => removed.cancelled_owned().await,
            None => pending().await,
        }
    };
    select! {
        biased;
        () = cut_off.cancelled() => CloseReason::Aborted,
        () = listener_removed => CloseReason::Aborted,
        reason = backend_lost => reason,
    }
}
