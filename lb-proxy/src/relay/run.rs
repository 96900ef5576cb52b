//! Both directions of a relay, its time-outs and its ends.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::select;
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::RelayEnd;
use super::both::{Both, TURN};
use super::closing::Closing;
use super::deadlines::{Deadlines, Waiting};
use super::held::Held;
use super::pump::Pump;
use crate::config::{HalfClose, Splice, Timeouts};
use crate::metrics::Counter;
use crate::net::stream::Stream;

/// Where the bytes of both directions are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic<'a> {
    pub(crate) to_backend: &'a Counter,
    pub(crate) to_client: &'a Counter,
}

/// How a relay goes on and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) splice: Splice,
    pub(crate) half_close: HalfClose,
}

/// What the backend is sent before anything else.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    pub(crate) bytes: Vec<u8>,
    /// How many of `bytes` are not for the backend.
    pub(crate) consumed: usize,
    /// How many of the others are not the client's.
    pub(crate) announced: usize,
}

/// What ends a relay from outside.
#[derive(Debug)]
pub(crate) struct Cuts<'a, F> {
    /// Completes when the session is to be cut: it delivers what has been acknowledged, and no more. Pinned by the caller,
    /// because a future that takes another one by value keeps room for it twice.
    pub(crate) cut: Pin<&'a mut F>,
    /// Nothing is waited for any more, once the session is cut. Cancelled before `cut` completes if there is no time.
    pub(crate) at_once: Option<&'a CancellationToken>,
    /// Cancelled when the process begins to drain: what the kernel can deliver alone is left to it.
    pub(crate) leaving: Option<&'a CancellationToken>,
}

/// What happened to a relay.
enum Event<T> {
    Cut(T),
    Ended(RelayEnd),
}

/// Moves bytes both ways until both ends are reached, a side resets, a time-out passes or the session is cut. The sockets
/// are ready to be closed then: the last end is passed on by that. Returns what `cuts.cut` said if the session was cut,
/// and how the relay ended otherwise.
///
/// `backend_left` is called when the backend's connection is over and the client still has to read, if that happens.
///
/// Writes `ahead` once before the future is polled. Dropping the future cuts the session off.
pub(crate) fn relay<'a, F>(
    client: &'a Stream,
    backend: &'a Stream,
    settings: Settings<'a>,
    ahead: Ahead,
    traffic: Traffic<'a>,
    cuts: Cuts<'a, F>,
    backend_left: impl FnOnce() + 'a,
) -> impl Future<Output = F::Output>
where
    F: Future<Output: From<RelayEnd>>,
{
    let mut both = Both::new(
        Pump::new(client, backend, settings.splice, traffic.to_backend),
        Pump::new(backend, client, settings.splice, traffic.to_client),
    );
    let held = Held::rest_of_bytes(ahead.bytes, ahead.consumed);
    both.up.begin_with(held, ahead.announced);
    let run = Run {
        both,
        deadlines: Deadlines::new(settings.timeouts),
        half_close: settings.half_close,
        cuts,
        backend_left: Some(backend_left),
        is_cut: false,
    };
    run.run()
}

/// A relay that runs.
struct Run<'a, F, L> {
    both: Both<'a>,
    deadlines: Deadlines<'a>,
    half_close: HalfClose,
    cuts: Cuts<'a, F>,
    /// `None` once it was called.
    backend_left: Option<L>,
    is_cut: bool,
}

impl<F, L> Run<'_, F, L>
where
    F: Future<Output: From<RelayEnd>>,
    L: FnOnce(),
{
    /// What is seldom is boxed, because an idle session carries the size of this future around.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would keep its argument twice"
    )]
    fn run(mut self) -> impl Future<Output = F::Output> {
        async move {
            let mut timer = pin!(sleep(Duration::MAX));
            match self.next(timer.as_mut()).await {
                Event::Cut(reason) => {
                    Box::pin(self.deliver(timer)).await;
                    reason
                }
                Event::Ended(end) => {
                    self.close(Some(end)).await;
                    end.into()
                }
            }
        }
    }

    /// The next event that is not for the relay alone.
    async fn next(&mut self, mut timer: Pin<&mut Sleep>) -> Event<F::Output> {
        loop {
            match poll_fn(|cx| self.advance(timer.as_mut(), cx)).await {
                Some(event) => return event,
                None => yield_now().await,
            }
        }
    }

    /// Moves what can be moved now. Completes with what happened, or with `None` when other sessions of the worker are due.
    fn advance(
        &mut self,
        timer: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Event<F::Output>>> {
        let both = &mut self.both;
        if !self.is_cut
            && let Poll::Ready(output) = self.cuts.cut.as_mut().poll(cx)
        {
            self.is_cut = true;
            both.limit();
            self.deadlines.note_cut();
            return Poll::Ready(Some(Event::Cut(output)));
        }
        let moved = both.advance(cx);
        if moved.is_some() {
            self.deadlines.note_progress();
        }
        let is_drained = moved.is_none_or(|n| n < TURN);
        let mut end = both.settle(self.half_close, is_drained);
        if end.is_none() && both.watch(cx) {
            end = both.settle(self.half_close, is_drained);
        }
        if let Some(end) = end {
            return Poll::Ready(Some(Event::Ended(end)));
        }
        if both.down.is_source_broken()
            && let Some(left) = self.backend_left.take()
        {
            left();
        }
        if both.is_final() {
            // This is so only in a session that was cut.
            return Poll::Ready(Some(Event::Ended(RelayEnd::MaxAge)));
        }
        both.discard(cx);
        if !is_drained {
            return Poll::Ready(None);
        }
        let end = ready!(poll_expired(both, &mut self.deadlines, timer, cx));
        if end == RelayEnd::MaxAge && !self.deadlines.is_cut() {
            both.limit();
            self.deadlines.note_cut();
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Event::Ended(end)))
    }

    /// Delivers what a session that was cut has, and closes it. Does neither if there is no time.
    async fn deliver(&mut self, timer: Pin<&mut Sleep>) {
        let at_once = self.cuts.at_once;
        let is_over = select! {
            biased;
            () = hurry(at_once) => false,
            _ = self.next(timer) => true,
        };
        if is_over {
            self.close(None).await;
        }
    }

    /// Closes both sides once their peers have what there is for them. `end` is `None` in a session that was cut.
    async fn close(&mut self, end: Option<RelayEnd>) {
        let closing = Closing::begin(&self.both, end);
        let is_closed = closing.is_done() || Box::pin(self.finish(closing)).await;
        self.both.note_closed(is_closed);
    }

    /// Returns whether there was time for that.
    async fn finish(&mut self, closing: Closing) -> bool {
        let Cuts {
            at_once, leaving, ..
        } = self.cuts;
        let (up, down) = (&self.both.up, &self.both.down);
        let backend_left = &mut self.backend_left;
        let left = || backend_left.take().into_iter().for_each(|left| left());
        select! {
            biased;
            () = hurry(at_once) => false,
            () = closing.finish(up, down, self.deadlines.patience(), leaving, left) => true,
        }
    }
}

/// Completes when nothing is waited for any more.
async fn hurry(at_once: Option<&CancellationToken>) {
    match at_once {
        Some(at_once) => at_once.cancelled().await,
        None => pending().await,
    }
}

/// Completes when a deadline has passed, with the end that it means.
fn poll_expired(
    both: &Both<'_>,
    deadlines: &mut Deadlines<'_>,
    mut timer: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<RelayEnd> {
    let waiting = Waiting {
        is_half_closed: both.is_half_closed(),
        is_holding: both.is_holding(),
        is_delivering: both.is_delivering(),
    };
    loop {
        let Some((deadline, expired)) = deadlines.next(waiting) else {
            return Poll::Pending;
        };
        // Progress does not touch the timer: it fires at the deadline it knows and is set anew.
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(cx));
        if Instant::now() < deadline {
            timer.as_mut().reset(deadline);
            continue;
        }
        if let Some(ago) = both.taken() {
            deadlines.note_taken(ago);
        }
        match deadlines.next(waiting) {
            Some((later, _)) if later > deadline => {}
            _ => return Poll::Ready(expired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    /// What every session pays while it is idle.
    #[tokio::test]
    async fn a_relay_takes_less_than_768_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let other = listener.accept().await.unwrap().0;
        let counter = Counter::default();
        let traffic = Traffic {
            to_backend: &counter,
            to_client: &counter,
        };
        let settings = Settings {
            timeouts: &Timeouts::default(),
            splice: Splice::Auto,
            half_close: HalfClose::Allow,
        };
        let token = CancellationToken::new();
        let cuts = Cuts {
            cut: pin!(async { pending::<RelayEnd>().await }),
            at_once: Some(&token),
            leaving: Some(&token),
        };
        let (one, other) = (Stream::from(one), Stream::from(other));
        let relay = relay(
            &one,
            &other,
            settings,
            Ahead::default(),
            traffic,
            cuts,
            || {},
        );
        let size = size_of_val(&relay);
        assert!(size < 768, "{size} bytes");
    }
}
