//! The signals that cut a session off while it relays.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::select;
use tokio_util::sync::CancellationToken;

use super::live::BackendStream;
use super::progress::ProgressReports;
use crate::close_reason::CloseReason;
use crate::net::stream::Stream;
use crate::or_never::or_never;
use crate::state::cut_off::{CutOffEvent, CutOffWait};
use crate::state::worker::Worker;
use crate::upstream::drain::LossWatcher;

/// What is looked at to find out whether a session that relays is cut off.
pub(super) struct CutWatch<'a> {
    pub(super) worker: &'a Worker,
    pub(super) client: &'a Stream,
    pub(super) backend: BackendStream,
}

impl<'a> CutWatch<'a> {
    /// Completes when the session is an orphan for too long.
    fn orphaned(&'a self) -> Orphaned<'a> {
        let local = self.client.local_addr().ok();
        let lost = self.worker.lost_addresses();
        Box::pin(or_never(local.map(|local| lost.orphaned(local.ip()))))
    }
}

type Orphaned<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Completes when the shutdown cuts the session off, when an operator closes it, or when its local address is lost.
///
/// Every idle session carries it, so it is written by hand: an `async fn` keeps its arguments beside the futures.
pub(super) struct CutOrClosed<'a> {
    watch: &'a CutWatch<'a>,
    cut_off: Pin<&'a mut CutOffWait<'a>>,
    /// Present once the session was asked whether it is an orphan.
    orphaned: Option<Orphaned<'a>>,
}

impl<'a> CutOrClosed<'a> {
    pub(super) fn new(watch: &'a CutWatch<'a>, cut_off: Pin<&'a mut CutOffWait<'a>>) -> Self {
        // It may have missed the question.
        let is_asked = watch.worker.lost_addresses().are_some();
        Self {
            watch,
            cut_off,
            orphaned: is_asked.then(|| watch.orphaned()),
        }
    }
}

impl Future for CutOrClosed<'_> {
    type Output = CloseReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let this = self.get_mut();
        while let Poll::Ready(event) = this.cut_off.as_mut().poll_event(cx) {
            match event {
                CutOffEvent::Asked => this.orphaned = Some(this.watch.orphaned()),
                CutOffEvent::CutOff => return Poll::Ready(CloseReason::Aborted),
            }
        }
        if let Some(orphaned) = &mut this.orphaned
            && orphaned.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(CloseReason::AddressLost);
        }
        match this.watch.backend.live() {
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
    pub(super) async fn due<'a>(
        self: Box<Self>,
        watch: &'a CutWatch<'a>,
        cut_off: Pin<&'a mut CutOffWait<'a>>,
    ) -> CloseReason {
        let Self {
            backend,
            listener,
            reports,
        } = *self;
        let listener_removed = or_never(listener.map(CancellationToken::cancelled_owned));
        let cut_or_closed = CutOrClosed::new(watch, cut_off);
        let backend_lost = or_never(backend.map(LossWatcher::due));
        let reporting = or_never(reports.map(ProgressReports::run));
        select! {
            biased;
            () = listener_removed => CloseReason::Aborted,
            reason = cut_or_closed => reason,
            reason = backend_lost => reason,
            panicked = reporting => panicked,
        }
    }
}
