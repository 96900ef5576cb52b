//! Both directions of a relay, its time-outs and its ends.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::RelayEnd;
use super::deadlines::Deadlines;
use super::pump::{Pump, State};
use super::socket::{reset_of, reset_on_close};
use crate::config::{HalfClose, Splice, Timeouts};
use crate::metrics::Counter;

/// How many bytes a session moves before the others of the worker get their turn: so few that a bulk transfer delays
/// its neighbours by a fraction of a millisecond.
const TURN: usize = 1 << 20;

/// Where the bytes of both directions are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic<'a> {
    pub(crate) to_backend: &'a Counter,
    pub(crate) to_client: &'a Counter,
}

/// Moves bytes both ways until both ends are reached, a side resets, or a time-out passes. The caller then closes both
/// sockets: the last end is passed on by that, and so are resets.
///
/// Dropping the future cuts the session off: closing the sockets then resets both.
pub(crate) async fn relay(
    client: &TcpStream,
    backend: &TcpStream,
    timeouts: &Timeouts,
    splice: Splice,
    half_close: HalfClose,
    traffic: Traffic<'_>,
) -> RelayEnd {
    let mut cut_off = CutOff {
        sides: [Some(client), Some(backend)],
    };
    let mut up = Pump::new(client, backend, splice, traffic.to_backend);
    let mut down = Pump::new(backend, client, splice, traffic.to_client);
    let mut client_reset = pin!(reset_of(client));
    let mut backend_reset = pin!(reset_of(backend));
    let mut timer = pin!(sleep(Duration::MAX));
    let mut deadlines = Deadlines::new(timeouts);

    let mut advance = |cx: &mut Context<'_>| {
        let mut moved = None;
        while moved.is_none_or(|n| n < TURN) {
            let upwards = up.step(cx, down.state() == State::SinkReset);
            let downwards = down.step(cx, up.state() == State::SinkReset);
            if upwards.is_none() && downwards.is_none() {
                break;
            }
            let step = upwards.unwrap_or(0) + downwards.unwrap_or(0);
            moved = Some(moved.unwrap_or(0) + step);
        }
        if moved.is_some() {
            deadlines.note_progress();
        }
        if is_broken(&up, &mut down, client_reset.as_mut(), cx) {
            return Poll::Ready(Some(RelayEnd::ClientReset));
        }
        if is_broken(&down, &mut up, backend_reset.as_mut(), cx) {
            return Poll::Ready(Some(RelayEnd::BackendReset));
        }
        if let Some(end) = settle(&mut up, &mut down, half_close) {
            return Poll::Ready(Some(end));
        }
        if moved.is_some_and(|n| n >= TURN) {
            return Poll::Ready(None);
        }
        let is_half_closed = up.state() != State::Open || down.state() != State::Open;
        let Some((deadline, expired)) = deadlines.next(is_half_closed) else {
            return Poll::Pending;
        };
        // Progress does not touch the timer: it fires at the deadline it knows and is set anew.
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Some(expired));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    };
    let end = loop {
        match poll_fn(&mut advance).await {
            Some(end) => break end,
            None => yield_now().await,
        }
    };

    let is_cut_short = |pump: &Pump<'_>| match end {
        RelayEnd::Finished | RelayEnd::FirstByteTimeout | RelayEnd::IdleTimeout => {
            pump.is_holding()
        }
        _ => !pump.state().is_complete(),
    };
    cut_off.sides = [
        is_cut_short(&down).then_some(client),
        is_cut_short(&up).then_some(backend),
    ];
    end
}

/// Resets the sides of a session whose streams did not come to their ends.
struct CutOff<'a> {
    sides: [Option<&'a TcpStream>; 2],
}

impl Drop for CutOff<'_> {
    fn drop(&mut self) {
        self.sides
            .iter()
            .flatten()
            .copied()
            .for_each(reset_on_close);
    }
}

/// Whether the side that `from` reads is found to be reset. Reading shows that by itself; a side that is not read from
/// now is watched.
///
/// One that had ended its stream before only takes no more.
fn is_broken(
    from: &Pump<'_>,
    towards: &mut Pump<'_>,
    reset: Pin<&mut impl Future>,
    cx: &mut Context<'_>,
) -> bool {
    let is_watched = !from.is_reading() && !towards.state().is_sink_broken();
    if !is_watched || reset.poll(cx).is_pending() {
        return false;
    }
    if from.is_owed() {
        towards.give_up();
        return false;
    }
    true
}

/// Passes on the ends that were reached. `Some` if nothing is left to do.
fn settle(up: &mut Pump<'_>, down: &mut Pump<'_>, half_close: HalfClose) -> Option<RelayEnd> {
    let [above, below] = [&*up, &*down].map(|pump| pump.state().is_complete());
    let is_enough = half_close == HalfClose::End && !up.is_holding() && !down.is_holding();
    if (above && below) || (is_enough && (above || below)) {
        // Closing the sockets passes on the end that is due.
        return Some(RelayEnd::Finished);
    }
    up.pass_end();
    down.pass_end();
    match (up.state(), down.state()) {
        (State::SourceReset, _) => Some(RelayEnd::ClientReset),
        (_, State::SourceReset) => Some(RelayEnd::BackendReset),
        // A side that broke may have answered before: that is delivered first.
        (broken, other) if broken.is_sink_broken() && other.is_final() => {
            Some(RelayEnd::BackendReset)
        }
        (other, broken) if broken.is_sink_broken() && other.is_final() => {
            Some(RelayEnd::ClientReset)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

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
        let timeouts = Timeouts::default();
        let size = size_of_val(&relay(
            &one,
            &other,
            &timeouts,
            Splice::Auto,
            HalfClose::Allow,
            traffic,
        ));
        assert!(size < 1024, "{size} bytes");
    }
}
