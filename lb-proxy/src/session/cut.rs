//! What cuts a session off while it relays.

use std::sync::Arc;

use tokio::select;
use tokio_util::sync::CancellationToken;

use super::progress::ProgressReports;
use crate::close_reason::CloseReason;
use crate::live_sessions::SessionPhase;
use crate::live_sessions::entry::LiveSession;
use crate::or_never::or_never;
use crate::upstream::drain::LossWatcher;

/// Completes when the shutdown cuts the session off.
pub(super) async fn aborted(cut_off: &CancellationToken) -> CloseReason {
    cut_off.cancelled().await;
    CloseReason::Aborted
}

/// What cuts a session off besides a shutdown, and what runs beside its relay.
#[derive(Debug)]
pub(super) struct OtherCuts {
    pub(super) backend: Option<LossWatcher>,
    /// Cancelled when the sessions of a removed listener have to end.
    pub(super) listener: Option<CancellationToken>,
    pub(super) live: Option<Arc<LiveSession>>,
    /// What reports to hooks meanwhile.
    pub(super) reports: Option<ProgressReports>,
}

impl OtherCuts {
    /// `None` if there is none of them. Boxed, because every idle session carries the size of the value.
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        let is_used = self.backend.is_some()
            || self.listener.is_some()
            || self.live.is_some()
            || self.reports.is_some();
        is_used.then(|| Box::new(self))
    }

    /// Completes when the shutdown cuts the session off, when the session is due to end because its backend was lost or
    /// its listener was removed, or when an operator closes it.
    pub(super) async fn due(self: Box<Self>, cut_off: &CancellationToken) -> CloseReason {
        let Self {
            backend,
            listener,
            live,
            reports,
        } = *self;
        let backend_lost = or_never(backend.map(LossWatcher::due));
        let listener_removed = or_never(listener.map(CancellationToken::cancelled_owned));
        let closed = or_never(live.as_deref().map(LiveSession::close_requested));
        let reporting = or_never(reports.map(ProgressReports::run));
        let reason = select! {
            biased;
            () = cut_off.cancelled() => CloseReason::Aborted,
            () = listener_removed => CloseReason::Aborted,
            () = closed => CloseReason::Operator,
            reason = backend_lost => reason,
            never = reporting => never,
        };
        if let Some(live) = &live {
            live.enter(SessionPhase::Closing);
        }
        reason
    }
}
