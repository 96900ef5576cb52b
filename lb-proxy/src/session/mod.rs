//! The life of one connection, one file a step: admit, preread, choose, pick, connect, first bytes, relay, close.

mod admit;
mod begin;
mod choose;
mod client_gone;
mod close;
pub(crate) mod connect;
mod cut;
mod details;
#[cfg(feature = "admin")]
pub(crate) mod dry_run;
mod first_bytes;
mod live;
mod origin;
mod own_listeners;
mod panics;
mod pass;
pub(crate) mod pick;
mod preread;
mod progress;
mod refusal;
mod relay;
mod respond;
mod summarize;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use tokio::select;
use tokio::time::Instant;

use crate::close_reason::CloseReason;
use crate::connection::Connection;
use crate::embedder_code::catch_future;
use crate::lazy_timer::LazyTimer;
use crate::limits::client_zone::ClientPermit;
use crate::net::stream::Stream;
use crate::preread_info::PrereadInfo;
use crate::relay::RelayTotals;
use crate::session_id::SessionId;
use crate::state::cut_off::{CutOffEvent, CutOffWait};
use crate::state::listener::ListenerState;
use crate::state::permit::SessionPermit;
use crate::state::route::Route;
use crate::state::worker::Worker;
use crate::upstream::{Lease, Upstream};

use cut::{CutOrClosed, CutWatch};
use details::Details;
use live::Begun;
use origin::{Ends, Origin, origin_of};

/// A connection that was accepted, and all that is held for it. Dropping it closes its sockets.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its number in all logs, queries and hooks.
    id: SessionId,
    client: Stream,
    client_addr: SocketAddr,
    /// Stored where they are needed more than once.
    ends: OnceLock<Box<Ends>>,
    /// What the prereads found besides the client and the upstream.
    preread: Option<Arc<PrereadInfo>>,
    pub(crate) permit: SessionPermit,
    /// Boxed, because most sessions have none.
    permits: Option<Box<ClientPermits>>,
    /// The upstream that the listener's route chose, if not the default.
    upstream: Option<Upstream>,
    lease: Option<Lease>,
    accepted_at: Instant,
    attempts: u32,
    /// Whether a preread has read bytes that no backend got.
    has_unsent: bool,
    /// How many own listeners the client passed through before this one.
    hops: u8,
    /// Kept only for hooks.
    details: Option<Box<Details>>,
    /// What the relay moved, for hooks that observe failures only.
    totals: RelayTotals,
}

/// The permits of a client's limits, which are released with the session.
#[derive(Debug, Default)]
struct ClientPermits(Vec<ClientPermit>);

impl Session {
    pub(crate) fn new(
        id: SessionId,
        client: Stream,
        peer: SocketAddr,
        listener: &Arc<ListenerState>,
    ) -> Self {
        let hops = listener.trackers().hops.take(peer);
        Self {
            id,
            client,
            client_addr: peer,
            ends: OnceLock::new(),
            preread: None,
            permit: SessionPermit::empty(Arc::clone(listener)),
            permits: None,
            upstream: None,
            lease: None,
            accepted_at: Instant::now(),
            attempts: 0,
            has_unsent: false,
            hops,
            details: None,
            totals: RelayTotals::default(),
        }
    }

    /// Serves the connection to its end.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would keep its argument twice"
    )]
    pub(crate) fn serve(mut self, worker: Arc<Worker>) -> impl Future<Output = ()> + Send {
        async move {
            let ran = catch_future(|| "Session", self.run(&worker)).await;
            let end = ran.unwrap_or_else(|panicked| Err(self.end_by_panic(&panicked, &worker)));
            self.close(end, &worker);
        }
    }

    /// Waits for the limits, then serves. Ends the session if the proxy is shut down before.
    pub(crate) async fn acquire_and_serve(mut self, worker: Arc<Worker>) {
        let acquired = select! {
            biased;
            acquired = self.permit.acquire() => acquired,
            () = worker.stop.cancelled() => Err(CloseReason::Aborted),
        };
        match acquired {
            Ok(()) => self.serve(worker).await,
            Err(reason) => self.close(Err(reason), &worker),
        }
    }

    /// `Err` is an end before the relay, after which the client is closed as a refused one. The relay ends its sockets
    /// itself.
    ///
    /// The steps before the relay are boxed, because otherwise the future of an idle session would be as large as theirs.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would keep its arguments twice"
    )]
    fn run<'a>(
        &'a mut self,
        worker: &'a Worker,
    ) -> impl Future<Output = Result<CloseReason, CloseReason>> + Send + 'a {
        async move {
            let mut cut_off = pin!(CutOffWait::new(worker));
            let mut timer = pin!(LazyTimer::new(self.accepted_at));
            let begun = Box::pin(self.begin_or_cut(worker, timer.as_mut(), cut_off.as_mut()));
            let Begun {
                backend,
                connected_at,
                ahead,
            } = begun.await?;
            let cuts = self.other_cuts(worker);
            let relaying = self.relaying(connected_at);
            let watch = CutWatch {
                worker,
                client: relaying.client,
                backend,
            };
            Ok(match cuts {
                Some(cuts) => {
                    let relay = async {
                        let cut = pin!(cuts.due(&watch, cut_off));
                        let backend = &watch.backend;
                        relaying.relay(backend, ahead, worker, timer, cut).await
                    };
                    Box::pin(relay).await
                }
                None => {
                    let cut = pin!(CutOrClosed::new(&watch, cut_off));
                    let backend = &watch.backend;
                    relaying.relay(backend, ahead, worker, timer, cut).await
                }
            })
        }
    }

    /// The steps before the relay, unless the session is cut off meanwhile.
    async fn begin_or_cut(
        &mut self,
        worker: &Worker,
        timer: Pin<&mut LazyTimer>,
        mut cut_off: Pin<&mut CutOffWait<'_>>,
    ) -> Result<Begun, CloseReason> {
        let mut begin = pin!(self.begin(worker, timer));
        poll_fn(|cx| {
            // A question about lost addresses is answered when the session relays.
            while let Poll::Ready(event) = cut_off.as_mut().poll_event(cx) {
                if event == CutOffEvent::CutOff {
                    return Poll::Ready(Err(CloseReason::Aborted));
                }
            }
            begin.as_mut().poll(cx)
        })
        .await
    }

    fn connection(&self) -> Connection {
        self.origin().connection()
    }

    fn origin(&self) -> Origin<'_> {
        origin_of!(self)
    }

    fn route(&self) -> &Route {
        &self.permit.listener.route
    }

    /// The upstream that the route chose, or else the listener's.
    fn upstream(&self) -> &Upstream {
        match &self.upstream {
            Some(chosen) => chosen,
            None => &self.route().upstream,
        }
    }
}

#[cfg(test)]
mod tests;
