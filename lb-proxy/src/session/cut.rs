//! What cuts a session off while it relays.

use std::future::pending;
use std::sync::Arc;

use tokio::select;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::close_reason::CloseReason;
use crate::live_sessions::SessionPhase;
use crate::live_sessions::entry::LiveSession;
use crate::upstream::drain::LossWatcher;

/// Completes when the shutdown cuts the session off.
pub(super) async fn aborted(cut_off: &CancellationToken) -> CloseReason {
    cut_off.cancelled().await;
    CloseReason::Aborted
}

/// What cuts a session off besides a shutdown.
#[derive(Debug)]
pub(super) struct OtherCuts {
    backend: Option<LossWatcher>,
    /// Cancelled when the sessions of a removed listener have to end.
    listener: Option<CancellationToken>,
    live: Option<Arc<LiveSession>>,
}

impl OtherCuts {
    /// `None` if nothing else can cut the session off. Boxed, because every idle session carries the size of the value.
    pub(super) fn of(session: &Session) -> Option<Box<Self>> {
        let lease = session.lease.as_ref();
        let cuts = Self {
            backend: lease.and_then(|lease| session.upstream().watch_loss(lease)),
            listener: session.permit.listener.removed(),
            live: session.live().cloned(),
        };
        let is_used = cuts.backend.is_some() || cuts.listener.is_some() || cuts.live.is_some();
        is_used.then(|| Box::new(cuts))
    }

    /// Completes when the shutdown cuts the session off, when the session is due to end because its backend was lost or
    /// its listener was removed, or when an operator closes it.
    pub(super) async fn due(self: Box<Self>, cut_off: &CancellationToken) -> CloseReason {
        let Self {
            backend,
            listener,
            live,
        } = *self;
        let backend_lost = async {
            match backend {
                Some(watcher) => watcher.due().await,
                None => pending().await,
            }
        };
        let listener_removed = async {
            match listener {
                Some(removed) => removed.cancelled_owned().await,
                None => pending().await,
            }
        };
        let closed = async {
            match &live {
                Some(live) => live.close_requested().await,
                None => pending().await,
            }
        };
        let reason = select! {
            biased;
            () = cut_off.cancelled() => CloseReason::Aborted,
            () = listener_removed => CloseReason::Aborted,
            () = closed => CloseReason::Operator,
            reason = backend_lost => reason,
        };
        if let Some(live) = &live {
            live.enter(SessionPhase::Closing);
        }
        reason
    }
}
