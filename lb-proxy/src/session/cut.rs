//! What cuts a session off while it relays.

use tokio::select;
use tokio_util::sync::CancellationToken;

use crate::close_reason::CloseReason;
use crate::upstream::drain::LossWatcher;

/// Completes when the shutdown cuts the session off.
pub(super) async fn aborted(cut_off: &CancellationToken) -> CloseReason {
    cut_off.cancelled().await;
    CloseReason::Aborted
}

/// Completes when the shutdown cuts the session off, or when the session is due to end because its backend was lost.
pub(super) async fn lost(watcher: LossWatcher, cut_off: &CancellationToken) -> CloseReason {
    select! {
        biased;
        () = cut_off.cancelled() => CloseReason::Aborted,
        reason = watcher.due() => reason,
    }
}
