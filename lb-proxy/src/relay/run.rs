//! The main loop of a relay: both directions, the time-outs, the cut and the close.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll, ready};

use tokio::select;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

use super::RelayEnd;
use super::closing::Closing;
use super::deadlines::{Deadlines, WaitState};
use super::duplex::{Duplex, TURN};
use super::held_bytes::HeldBytes;
use super::pacing::Pacing;
use super::pump::Pump;
use super::setup::{BytesAhead, CutReason, CutSignals, RelaySettings, TrafficCounters};
use super::totals::RelayTotals;
use crate::close_request::CloseRequest;
use crate::config::HalfClose;
use crate::metrics::Direction::{ToBackend, ToClient};
use crate::net::stream::Stream;
use crate::or_never::or_never;

/// What the relay does next.
enum RelayEvent<T> {
    Cut(T),
    Ended(RelayEnd),
}

/// Relays bytes both ways until both streams have ended, a side resets, a time-out passes or the session is cut.
///
/// Afterwards the caller closes the sockets, which forwards the last end. Returns the output of `cuts.cut` if the session
/// was cut, and the end of the relay otherwise.
///
/// `backend_left` is called if the backend's connection ends while the client still has bytes to read.
///
/// Writes `ahead` once before the future is polled. Dropping the future cuts the session without waiting.
pub(crate) fn relay<'a, F>(
    client: &'a Stream,
    backend: &'a Stream,
    settings: RelaySettings<'a>,
    ahead: BytesAhead,
    traffic: TrafficCounters<'a>,
    cuts: CutSignals<'a, F>,
    backend_left: impl FnOnce() + 'a,
) -> impl Future<Output = F::Output>
where
    F: Future<Output: CutReason>,
{
    let sent = ahead.bytes.len() - ahead.consumed - ahead.announced;
    let pacing = Pacing::new(settings.bandwidth, sent);
    let mut both = Duplex::new(
        Pump::new(client, backend, settings.splice, (traffic.bytes, ToBackend)),
        Pump::new(backend, client, settings.splice, (traffic.bytes, ToClient)),
        pacing,
    );
    let held = HeldBytes::rest_of_bytes(ahead.bytes, ahead.consumed);
    both.up.begin_with(held, ahead.announced);
    if settings.sets_nodelay {
        both.up.set_nodelay_later();
    }
    let run = Run {
        both,
        deadlines: Deadlines::new(settings.timeouts, settings.begin),
        half_close: settings.half_close,
        cuts,
        backend_left: Some(backend_left),
        is_cut: false,
        is_timed: false,
        totals: traffic.totals,
    };
    run.run()
}

/// The state of a running relay.
struct Run<'a, F, L> {
    both: Duplex<'a>,
    deadlines: Deadlines<'a>,
    half_close: HalfClose,
    cuts: CutSignals<'a, F>,
    /// `None` once it was called.
    backend_left: Option<L>,
    is_cut: bool,
    /// Whether the timer was set since both directions are [open](WaitState::is_open), and nothing was cut.
    is_timed: bool,
    totals: Option<&'a RelayTotals>,
}

impl<F, L> Run<'_, F, L>
where
    F: Future<Output: CutReason>,
    L: FnOnce(),
{
    /// Rare steps are boxed, because every idle session carries the size of this future.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would keep its argument twice"
    )]
    fn run(mut self) -> impl Future<Output = F::Output> {
        async move {
            let event = self.next().await;
            if let Some(totals) = self.totals {
                totals.store(&self.both.up, &self.both.down);
            }
            match event {
                RelayEvent::Cut(reason) => {
                    Box::pin(self.deliver()).await;
                    reason
                }
                RelayEvent::Ended(end) => {
                    self.close(Some(end)).await;
                    end.into()
                }
            }
        }
    }

    /// The next event that ends or cuts the relay.
    async fn next(&mut self) -> RelayEvent<F::Output> {
        loop {
            match poll_fn(|cx| self.advance(cx)).await {
                Some(event) => return event,
                None => yield_now().await,
            }
        }
    }

    /// Moves the bytes that can be moved now. Completes with an event, or with `None` to yield to other sessions.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Option<RelayEvent<F::Output>>> {
        let both = &mut self.both;
        if !self.is_cut
            && let Poll::Ready(output) = self.cuts.cut.as_mut().poll(cx)
        {
            self.is_cut = true;
            both.cut();
            if output.has_lost_client() {
                both.lose_client();
            }
            self.deadlines.note_cut();
            if let Some(request) = self.cuts.request {
                request.note_cut();
            }
            return Poll::Ready(Some(RelayEvent::Cut(output)));
        }
        let moved = both.advance(cx);
        if moved.is_some() {
            self.deadlines.note_progress();
        }
        let is_paused = both.is_paused();
        if both.has_paused() {
            // A direction that waits for its bandwidth is not idle.
            self.deadlines.note_progress();
        }
        let is_drained = moved.is_none_or(|n| n < TURN);
        let mut end = both.settle(self.half_close, is_drained && !is_paused);
        if end.is_none() && both.watch(cx) {
            end = both.settle(self.half_close, is_drained && !is_paused);
        }
        if let Some(end) = end {
            return Poll::Ready(Some(RelayEvent::Ended(end)));
        }
        if both.down.is_source_broken()
            && let Some(left) = self.backend_left.take()
        {
            left();
        }
        if both.is_final() {
            // Only a session that was cut gets here.
            return Poll::Ready(Some(RelayEvent::Ended(RelayEnd::MaxAge)));
        }
        both.discard(cx);
        // A direction whose last bytes are not delayed any more goes on at once.
        if !is_drained || (is_paused && !both.is_paused()) {
            return Poll::Ready(None);
        }
        let end = ready!(self.poll_expired(moved.is_some(), cx));
        if end == RelayEnd::MaxAge && !self.deadlines.is_cut() {
            self.both.cut();
            self.deadlines.note_cut();
            return Poll::Ready(None);
        }
        Poll::Ready(Some(RelayEvent::Ended(end)))
    }

    /// Completes when a deadline has passed, with the end of the relay. `has_moved`: there was progress in this step.
    fn poll_expired(&mut self, has_moved: bool, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let waiting = WaitState {
            is_half_closed: self.both.is_half_closed(),
            is_holding: self.both.is_holding(),
            is_delivering: self.both.is_delivering(),
        };
        let deadlines = &mut self.deadlines;
        let mut timer = self.cuts.timer.as_mut();
        let is_open = waiting.is_open() && !deadlines.is_cut();
        // Between two open directions progress only moves the deadline away: the timer need not be looked at, which is a
        // tenth of a step.
        if has_moved && is_open && self.is_timed && timer.is_set_after(deadlines.last_moved(), cx) {
            return Poll::Pending;
        }
        self.is_timed = is_open;
        if waiting.is_delivering {
            deadlines.note_delivering();
        }
        loop {
            let Some((deadline, expired)) = deadlines.next(waiting) else {
                return Poll::Pending;
            };
            ready!(timer.as_mut().poll_until(deadline, cx));
            if let Some(ago) = self.both.last_sent() {
                deadlines.note_sent(ago);
            }
            match deadlines.next(waiting) {
                Some((later, _)) if later > deadline => {}
                _ => return Poll::Ready(expired),
            }
        }
    }

    /// Delivers the bytes of a session that was cut, and closes it. Does neither if it must not wait.
    async fn deliver(&mut self) {
        let CutSignals {
            at_once, request, ..
        } = self.cuts;
        let immediate = select! {
            biased;
            immediate = must_not_wait(at_once, request) => Some(immediate),
            _ = self.next() => None,
        };
        match immediate {
            Some(immediate) => self.leave(immediate),
            None => self.close(None).await,
        }
    }

    /// Closes both sides once their peers have received everything. `end` is `None` in a session that was cut.
    async fn close(&mut self, end: Option<RelayEnd>) {
        let closing = Closing::begin(&self.both, end);
        let immediate = match closing.is_done() {
            true => None,
            false => Box::pin(self.finish(closing)).await,
        };
        match immediate {
            Some(immediate) => self.leave(immediate),
            None => self.both.note_closed(true),
        }
    }

    /// Waits for `closing`. Returns how to leave if the relay must not wait.
    async fn finish(&mut self, closing: Closing) -> Option<ImmediateEnd> {
        let CutSignals {
            at_once,
            request,
            leaving,
            ..
        } = self.cuts;
        let (up, down) = (&self.both.up, &self.both.down);
        let backend_left = &mut self.backend_left;
        let left = || backend_left.take().into_iter().for_each(|left| left());
        select! {
            biased;
            immediate = must_not_wait(at_once, request) => Some(immediate),
            () = closing.finish(up, down, self.deadlines.delivery_timeout(), leaving, left) => None,
        }
    }

    /// Leaves both sides without waiting.
    fn leave(&mut self, immediate: ImmediateEnd) {
        match immediate {
            // Dropping both sides cuts them.
            ImmediateEnd::Cut => self.both.note_closed(false),
            ImmediateEnd::Reset => self.both.reset(),
        }
    }
}

/// How a relay ends that must not wait any longer.
enum ImmediateEnd {
    /// The kernel delivers what it has.
    Cut,
    /// Nothing more is delivered.
    Reset,
}

/// Completes when the relay must not wait any longer.
async fn must_not_wait(
    at_once: Option<&CancellationToken>,
    request: Option<&CloseRequest>,
) -> ImmediateEnd {
    select! {
        biased;
        () = or_never(request.map(CloseRequest::reset_requested)) => ImmediateEnd::Reset,
        () = or_never(at_once.map(CancellationToken::cancelled)) => ImmediateEnd::Cut,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use tokio::time::Instant;

    use super::*;
    use crate::config::{Splice, Timeouts};
    use crate::lazy_timer::LazyTimer;
    use crate::metrics::RelayTraffic;
    use tokio::net::{TcpListener, TcpStream};

    /// The memory of every idle session.
    #[tokio::test]
    async fn a_relay_takes_less_than_768_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let other = listener.accept().await.unwrap().0;
        let bytes = RelayTraffic::default();
        let traffic = TrafficCounters {
            bytes: &bytes,
            totals: None,
        };
        let settings = RelaySettings {
            timeouts: &Timeouts::default(),
            splice: Splice::Auto,
            half_close: HalfClose::Allow,
            bandwidth: crate::bandwidth::Bandwidth::unlimited(),
            sets_nodelay: true,
            begin: Instant::now(),
        };
        let token = CancellationToken::new();
        let cuts = CutSignals {
            cut: pin!(async { pending::<RelayEnd>().await }),
            at_once: Some(&token),
            request: None,
            timer: pin!(LazyTimer::new(Instant::now())),
            leaving: Some(&token),
        };
        let (one, other) = (Stream::from(one), Stream::from(other));
        let relay = relay(
            &one,
            &other,
            settings,
            BytesAhead::default(),
            traffic,
            cuts,
            || {},
        );
        let size = size_of_val(&relay);
        assert!(size < 768, "{size} bytes");
    }
}
