//! The byte pump of a session.
//!
//! Each direction is a small machine ([`Pump`]): read into the worker's scratch buffer, write on at once, hold what
//! the other side does not take yet, pass the end on as a FIN. The other direction goes on until it ends too. An
//! idle session owns no buffer; a blocked direction owns what it holds, at most 64 KiB, and reads no more until that
//! is written.
//!
//! A reset is not an end: whichever side resets, the other gets a reset as well, so that a truncated stream never
//! looks complete. The same goes for a session that is cut off, and for one that times out with bytes still held or
//! with one direction ended; only a session that is idle both ways is ended cleanly.

mod pump;
mod socket;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::config::Timeouts;
use crate::metrics::Counter;
use pump::{Pump, State};
use socket::reset_of;

pub(crate) use socket::reset_on_close;

/// How a relay ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RelayEnd {
    /// The backend reset its connection.
    BackendReset,
    /// The client reset its connection.
    ClientReset,
    /// Both sides sent all they had.
    Finished,
    /// One side had ended, the other fell silent.
    HalfClosedTimeout,
    /// Both sides fell silent.
    IdleTimeout,
}

/// Where the bytes of both directions are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic<'a> {
    pub(crate) to_backend: &'a Counter,
    pub(crate) to_client: &'a Counter,
}

/// How many steps each direction takes in turn before the other sessions of the worker get theirs: half a mebibyte at
/// the most, so that a bulk transfer delays its neighbours by a fraction of a millisecond.
const TURNS: usize = 4;

/// Moves bytes both ways until both ends are reached, a side resets, or a time-out passes.
///
/// Dropping the future cuts the session off: closing the sockets then resets both.
pub(crate) async fn relay(
    client: &TcpStream,
    backend: &TcpStream,
    timeouts: &Timeouts,
    traffic: Traffic<'_>,
) -> RelayEnd {
    let mut cut_off = CutOff {
        sides: [Some(client), Some(backend)],
    };
    let mut up = Pump::new(client, backend, traffic.to_backend);
    let mut down = Pump::new(backend, client, traffic.to_client);
    let mut client_reset = pin!(reset_of(client));
    let mut backend_reset = pin!(reset_of(backend));
    let mut timer = pin!(sleep(Duration::MAX));
    let mut last_progress = Instant::now();

    let mut advance = |cx: &mut Context<'_>| {
        for turn in 0.. {
            if turn == TURNS {
                return Poll::Ready(None);
            }
            let moved = up.step(cx) | down.step(cx);
            if let Some(end) = end_of(&up, &down) {
                return Poll::Ready(Some(end));
            }
            if !moved {
                break;
            }
            last_progress = Instant::now();
        }
        // Reading shows a reset; a side that is not read from now is watched for it.
        if !up.is_reading() && client_reset.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(RelayEnd::ClientReset));
        }
        if !down.is_reading() && backend_reset.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(RelayEnd::BackendReset));
        }
        let (limit, expired) = if up.state() == State::Open && down.state() == State::Open {
            (timeouts.idle, RelayEnd::IdleTimeout)
        } else {
            (timeouts.half_closed, RelayEnd::HalfClosedTimeout)
        };
        let Some(deadline) = limit.and_then(|limit| last_progress.checked_add(limit)) else {
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

    let (to_client, to_backend) = match end {
        RelayEnd::BackendReset => (true, false),
        RelayEnd::ClientReset => (false, true),
        RelayEnd::Finished => (false, false),
        RelayEnd::HalfClosedTimeout => (down.state() != State::Done, up.state() != State::Done),
        RelayEnd::IdleTimeout => (down.is_holding(), up.is_holding()),
    };
    cut_off.sides = [to_client.then_some(client), to_backend.then_some(backend)];
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

fn end_of(up: &Pump<'_>, down: &Pump<'_>) -> Option<RelayEnd> {
    match (up.state(), down.state()) {
        (State::SourceReset, _) => Some(RelayEnd::ClientReset),
        (_, State::SourceReset) => Some(RelayEnd::BackendReset),
        (State::Done, State::Done) => Some(RelayEnd::Finished),
        // A side that broke may have answered before: that is delivered first.
        (State::SinkReset, state) if state.is_final() => Some(RelayEnd::BackendReset),
        (state, State::SinkReset) if state.is_final() => Some(RelayEnd::ClientReset),
        _ => None,
    }
}
