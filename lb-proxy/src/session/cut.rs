//! The signals that cut a session off while it relays.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::select;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::live::BackendStream;
use super::progress::ProgressReports;
use crate::close_reason::CloseReason;
use crate::net::stream::Stream;
use crate::or_never::or_never;
use crate::state::worker::{CutOff, Worker};
use crate::upstream::drain::LossWatcher;

/// What is looked at to find out whether a session that relays is cut off.
pub(super) struct CutWatch<'a> {
    pub(super) cut_off: CutOff,
    pub(super) worker: &'a Worker,
    pub(super) client: &'a Stream,
    pub(super) backend: BackendStream,
}

impl CutWatch<'_> {
    /// Completes when the session is cut off, or is an orphan for too long.
    async fn asked(&self, mut cut_off: CutOff) -> CloseReason {
        let local = self.client.local_addr().ok();
        let lost = self.worker.lost_addresses();
        loop {
            let orphaned = or_never(local.map(|local| lost.orphaned(local.ip())));
            select! {
                biased;
                () = cut_off.token.cancelled() => if !self.worker.renew(&mut cut_off) {
                    return CloseReason::Aborted;
                },
                () = orphaned => return CloseReason::AddressLost,
            }
        }
    }
}

pin_project! {
    /// Completes when the shutdown cuts the session off, when an operator closes it, or when its local address is lost.
    ///
    /// Every idle session carries it, so it is written by hand: an `async fn` keeps its arguments beside the futures.
    pub(super) struct CutOrClosed<'a> {
        watch: &'a CutWatch<'a>,
        #[pin]
        state: CutState<'a>,
    }
}

pin_project! {
    #[project = CutStateProjection]
    enum CutState<'a> {
        // Waits for the token that the session began to relay with.
        Waiting {
            #[pin]
            cut_off: WaitForCancellationFuture<'a>,
        },
        // The session was asked whether it is an orphan.
        Asked {
            future: Pin<Box<dyn Future<Output = CloseReason> + Send + 'a>>,
        },
    }
}

impl<'a> CutOrClosed<'a> {
    pub(super) fn new(watch: &'a CutWatch<'a>) -> Self {
        let state = match watch.worker.lost_addresses().are_some() {
            // It may have missed the question.
            true => CutState::asked(watch, watch.cut_off.clone()),
            false => CutState::Waiting {
                cut_off: watch.cut_off.token.cancelled(),
            },
        };
        Self { watch, state }
    }
}

impl<'a> CutState<'a> {
    fn asked(watch: &'a CutWatch<'a>, cut_off: CutOff) -> Self {
        Self::Asked {
            future: Box::pin(watch.asked(cut_off)),
        }
    }
}

impl Future for CutOrClosed<'_> {
    type Output = CloseReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let mut this = self.project();
        let watch = *this.watch;
        if let CutStateProjection::Waiting { cut_off } = this.state.as_mut().project()
            && cut_off.poll(cx).is_ready()
        {
            let mut renewed = watch.cut_off.clone();
            if !watch.worker.renew(&mut renewed) {
                return Poll::Ready(CloseReason::Aborted);
            }
            this.state.set(CutState::asked(watch, renewed));
        }
        if let CutStateProjection::Asked { future } = this.state.project()
            && let Poll::Ready(reason) = future.as_mut().poll(cx)
        {
            return Poll::Ready(reason);
        }
        match watch.backend.live() {
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
    pub(super) async fn due(self: Box<Self>, watch: &CutWatch<'_>) -> CloseReason {
        let Self {
            backend,
            listener,
            reports,
        } = *self;
        let listener_removed = or_never(listener.map(CancellationToken::cancelled_owned));
        let cut_or_closed = CutOrClosed::new(watch);
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
