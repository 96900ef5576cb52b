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
    /// Completes when the session is to be cut: it delivers what has been acknowledged, and no more.
    pub(crate) cut: F,
    /// Nothing is waited for any more, once the session is cut. Cancelled before `cut` completes if there is no time.
    pub(crate) at_once: Option<&'a CancellationToken>,
    /// Cancelled when the process begins to drain: what the kernel can deliver alone is left to it.
    pub(crate) leaving: Option<&'a CancellationToken>,
}

/// What happened to a relay.
enum Event<T> {
    Cut(T),
    Ended(RelayEnd),
    /// The others of the worker get their turn.
    Turn,
}

/// Moves bytes both ways until both ends are reached, a side resets, a time-out passes or the session is cut. The sockets
/// are ready to be closed then: the last end is passed on by that. `Err` says that the session was cut.
///
/// `backend_left` is called when the backend's connection is over and the client still has to read, if that happens.
///
/// Dropping the future cuts the session off.
pub(crate) async fn relay<F: Future>(
    client: &Stream,
    backend: &Stream,
    settings: Settings<'_>,
    ahead: Ahead,
    traffic: Traffic<'_>,
    cuts: Cuts<'_, F>,
    backend_left: impl FnOnce(),
) -> Result<RelayEnd, F::Output> {
    let mut both = Both::new(
        Pump::new(client, backend, settings.splice, traffic.to_backend),
        Pump::new(backend, client, settings.splice, traffic.to_client),
    );
    let held = Held::rest_of_bytes(ahead.bytes, ahead.consumed);
    both.up.begin_with(held, ahead.announced);
    let (at_once, leaving) = (cuts.at_once, cuts.leaving);
    let mut cut = pin!(cuts.cut);
    let mut is_cut = false;
    let mut timer = pin!(sleep(Duration::MAX));
    let mut deadlines = Deadlines::new(settings.timeouts);
    let mut backend_left = Some(backend_left);

    let mut advance = |cx: &mut Context<'_>| {
        if !is_cut && let Poll::Ready(output) = cut.as_mut().poll(cx) {
            is_cut = true;
            both.limit();
            deadlines.note_cut();
            return Poll::Ready(Event::Cut(output));
        }
        let moved = both.advance(cx);
        if moved.is_some() {
            deadlines.note_progress();
        }
        let is_drained = moved.is_none_or(|n| n < TURN);
        let mut end = both.settle(settings.half_close, is_drained);
        if end.is_none() && both.watch(cx) {
            end = both.settle(settings.half_close, is_drained);
        }
        if let Some(end) = end {
            return Poll::Ready(Event::Ended(end));
        }
        if both.down.is_source_broken()
            && let Some(left) = backend_left.take()
        {
            left();
        }
        if both.is_final() {
            // This is so only in a session that was cut.
            return Poll::Ready(Event::Ended(RelayEnd::MaxAge));
        }
        both.discard(cx);
        if !is_drained {
            return Poll::Ready(Event::Turn);
        }
        let end = ready!(poll_expired(&both, &mut deadlines, timer.as_mut(), cx));
        if end == RelayEnd::MaxAge && !deadlines.is_cut() {
            both.limit();
            deadlines.note_cut();
            return Poll::Ready(Event::Turn);
        }
        Poll::Ready(Event::Ended(end))
    };
    let (event, cut) = match next(&mut advance).await {
        Event::Cut(reason) => {
            // Boxed, because an idle session would carry its size around.
            let rest = Box::pin(async {
                select! {
                    biased;
                    () = hurry(at_once) => None,
                    event = next(&mut advance) => Some(event),
                }
            });
            match rest.await {
                Some(event) => (event, Some(reason)),
                None => return Err(reason),
            }
        }
        event => (event, None),
    };
    let end = match event {
        Event::Ended(end) if cut.is_none() => Some(end),
        _ => None,
    };
    let closing = Closing::begin(&both, end);
    if !closing.is_done() {
        let (up, down, patience) = (&both.up, &both.down, deadlines.patience());
        let left = || backend_left.take().into_iter().for_each(|left| left());
        let finished = Box::pin(async {
            select! {
                biased;
                () = hurry(at_once) => false,
                () = closing.finish(up, down, patience, leaving, left) => true,
            }
        });
        both.is_closed = finished.await;
    } else {
        both.is_closed = true;
    }
    match cut {
        Some(reason) => Err(reason),
        None => Ok(end.unwrap_or(RelayEnd::MaxAge)),
    }
}

/// The next event that is not for the relay alone.
async fn next<T>(advance: &mut impl FnMut(&mut Context<'_>) -> Poll<Event<T>>) -> Event<T> {
    loop {
        match poll_fn(&mut *advance).await {
            Event::Turn => yield_now().await,
            event => return event,
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
    async fn a_relay_takes_less_than_a_kibibyte() {
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
            cut: token.cancelled(),
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
        assert!(size < 1024, "{size} bytes");
    }
}
