//! The signals that cut a session off while it relays.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::select;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::progress::ProgressReports;
use crate::close_reason::CloseReason;
use crate::live_sessions::entry::LiveSession;
use crate::or_never::or_never;
use crate::upstream::drain::LossWatcher;

pin_project! {
    /// Completes when the shutdown cuts the session off, or when an operator closes it.
    ///
    /// Every idle session carries it, so it is written by hand: an `async fn` keeps its arguments beside the futures.
    #[derive(Debug)]
    pub(super) struct CutOrClosed<'a> {
        #[pin]
        cut_off: WaitForCancellationFuture<'a>,
        live: Option<&'a LiveSession>,
    }
}

impl<'a> CutOrClosed<'a> {
    pub(super) fn new(cut_off: &'a CancellationToken, live: Option<&'a LiveSession>) -> Self {
        Self {
            cut_off: cut_off.cancelled(),
            live,
        }
    }
}

impl Future for CutOrClosed<'_> {
    type Output = CloseReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let this = self.project();
        if this.cut_off.poll(cx).is_ready() {
            return Poll::Ready(CloseReason::Aborted);
        }
        match this.live {
            Some(live) => {
                let closed = live.close_request().poll_close(cx);
                closed.map(|()| CloseReason::Operator)
            }
            None => Poll::Pending,
        }
    }
}

/// What else cuts a session off, and what runs beside its relay.
#[derive(Debug)]
pub(super) struct OtherCuts {
    pub(super) backend: Option<LossWatcher>,
    /// Cancelled when the sessions of a removed listener have to end.
    pub(super) listener: Option<CancellationToken>,
    /// What reports to hooks meanwhile.
    pub(super) reports: Option<ProgressReports>,
}

impl OtherCuts {
    /// `None` if there is none of them. Boxed, because every idle session carries the size of the value.
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        let is_used = self.backend.is_some() || self.listener.is_some() || self.reports.is_some();
        is_used.then(|| Box::new(self))
    }

    /// Completes when the session is [cut off or closed](CutOrClosed), or is due to end because its backend was lost or
    /// its listener was removed.
    pub(super) async fn due(
        self: Box<Self>,
        cut_off: &CancellationToken,
        live: Option<&LiveSession>,
    ) -> CloseReason {
        let Self {
            backend,
            listener,
            reports,
        } = *self;
        let listener_removed = or_never(listener.map(CancellationToken::cancelled_owned));
        let cut_or_closed = CutOrClosed::new(cut_off, live);
        let backend_lost = or_never(backend.map(LossWatcher::due));
        let reporting = or_never(reports.map(ProgressReports::run));
        select! {
            biased;
            () = listener_removed => CloseReason::Aborted,
            reason = cut_or_closed => reason,
            reason = backend_lost => reason,
            never = reporting => never,
        }
    }
}
