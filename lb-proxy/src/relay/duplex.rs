//! Both directions of a relay, and the decisions that need the states of both.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop::unconstrained;

use super::RelayEnd;
use super::pacing::Pacing;
use super::pump::Pump;
use super::send_queue::SendQueue;
use super::socket::{break_of, ended_before_it_broke, reset_on_close};
use super::state::DirectionState;
use crate::config::HalfClose;
use crate::net::stream::Stream;

/// How many bytes a session moves before it yields to the other sessions of the worker: so few that a bulk transfer
/// delays them by a fraction of a millisecond.
pub(super) const TURN: usize = 1 << 20;

/// How many times bytes are discarded before a socket is closed although its peer sends.
const DISCARDS: usize = 64;

/// Both directions of a relay. Dropping it cuts the session, unless it was closed.
pub(super) struct Duplex<'a> {
    pub(super) up: Pump<'a>,
    pub(super) down: Pump<'a>,
    watched: [Watched<'a>; 2],
    /// `None` in a session without a limit.
    pacing: Option<Box<Pacing>>,
    is_closed: bool,
}

/// Completes when a side is broken. Allocated when first needed: an idle session has none.
type Watched<'a> = Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>;

impl<'a> Duplex<'a> {
    pub(super) const fn new(up: Pump<'a>, down: Pump<'a>, pacing: Option<Box<Pacing>>) -> Self {
        Self {
            up,
            down,
            watched: [None, None],
            pacing,
            is_closed: false,
        }
    }

    /// Moves the bytes that can be moved now, about [`TURN`] at most. `None` if nothing moves.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>) -> Option<usize> {
        let mut moved = None;
        // A direction that could not move has registered the task: to ask it again at once would only cost time.
        let (mut up_waits, mut down_waits) = (false, false);
        while moved.is_none_or(|n| n < TURN) {
            let upwards = match &mut self.pacing {
                _ if up_waits => None,
                None => self.up.step(cx, usize::MAX),
                Some(pacing) => pacing.up.step(&mut self.up, cx),
            };
            up_waits = upwards.is_none();
            if self.share() {
                down_waits = false;
            }
            let downwards = match &mut self.pacing {
                _ if down_waits => None,
                None => self.down.step(cx, usize::MAX),
                Some(pacing) => pacing.down.step(&mut self.down, cx),
            };
            down_waits = downwards.is_none();
            if self.share() {
                up_waits = false;
            }
            if upwards.is_none() && downwards.is_none() {
                break;
            }
            let step = upwards.unwrap_or(0) + downwards.unwrap_or(0);
            moved = Some(moved.unwrap_or(0) + step);
        }
        moved
    }

    /// Marks the source of a direction as broken if a write of the other direction found that out. Returns whether that was
    /// not known.
    fn share(&mut self) -> bool {
        let [upwards, downwards] = [self.up.state(), self.down.state()];
        let mut is_new = false;
        for (from, towards) in [(&mut self.up, downwards), (&mut self.down, upwards)] {
            if towards.is_sink_broken() && !from.is_source_broken() {
                from.note_broken(towards == DirectionState::SinkClosed);
                is_new = true;
            }
        }
        is_new
    }

    /// Checks the sides that are not read now for a break, which a read would report. Returns whether one is broken.
    pub(super) fn watch(&mut self, cx: &mut Context<'_>) -> bool {
        let Self {
            up,
            down,
            watched,
            pacing,
            ..
        } = self;
        let is_reading = |pump: &Pump<'_>, is_paused: bool| pump.is_reading() && !is_paused;
        let paused = pacing.as_ref().map_or([false; 2], |pacing| {
            [pacing.up.is_pausing(up), pacing.down.is_pausing(down)]
        });
        let [client, backend] = watched;
        let client = !is_reading(up, paused[0]) && find_broken(up, down, client, cx);
        let backend = !is_reading(down, paused[1]) && find_broken(down, up, backend, cx);
        client || backend
    }

    /// Whether a direction waits until its bandwidth allows it to read.
    pub(super) fn is_paused(&self) -> bool {
        self.pacing.as_ref().is_some_and(|pacing| {
            pacing.up.is_pausing(&self.up) || pacing.down.is_pausing(&self.down)
        })
    }

    /// Whether a direction has waited for its bandwidth since the last call.
    pub(super) fn has_paused(&mut self) -> bool {
        let pacing = self.pacing.as_mut();
        pacing.is_some_and(|pacing| pacing.has_paused())
    }

    /// Limits both directions to the bytes that the kernel has acknowledged by now.
    pub(super) fn cut(&mut self) {
        self.up.cut();
        self.down.cut();
    }

    /// Treats the client as broken, because nothing reaches it any more. What it has sent is still delivered.
    pub(super) fn lose_client(&mut self) {
        self.down.give_up(false);
        if !self.up.is_source_broken() {
            self.up.note_broken(false);
        }
        // Else the kernel would go on to retransmit what it holds for the client.
        reset_on_close(self.down.sink());
    }

    /// Discards bytes of a side if the other side accepts none any more, so that its peer goes on to read.
    pub(super) fn discard(&self, cx: &mut Context<'_>) {
        for (from, towards) in [(&self.up, &self.down), (&self.down, &self.up)] {
            if from.state().is_sink_broken() && !towards.state().is_final() {
                from.discard(cx);
            }
        }
    }

    /// Forwards the ends that were reached. `Some` if the relay has ended.
    ///
    /// `is_drained`: nothing can be read or written now.
    pub(super) fn settle(&mut self, half_close: HalfClose, is_drained: bool) -> Option<RelayEnd> {
        let Self {
            up, down, pacing, ..
        } = self;
        let [above, below] = [up.state(), down.state()].map(DirectionState::is_complete);
        if above && below {
            // The close of the sockets forwards the end that is left.
            return Some(RelayEnd::Finished);
        }
        if half_close == HalfClose::End && (above || below) {
            let pacing = pacing.as_ref();
            let (other, pace) = match above {
                true => (&mut *down, pacing.map(|pacing| &pacing.down)),
                false => (&mut *up, pacing.map(|pacing| &pacing.up)),
            };
            let is_pausing = pace.is_some_and(|pace| pace.is_pausing(other));
            let is_empty = is_drained && !other.is_holding() && !is_pausing;
            if is_empty || other.state() == DirectionState::Stopped {
                return Some(RelayEnd::Finished);
            }
            // Bytes that had arrived by the end of the first stream are delivered. The session does not wait for more.
            other.limit();
        }
        up.pass_end();
        down.pass_end();
        match (up.state(), down.state()) {
            (DirectionState::SourceReset, _) => Some(RelayEnd::ClientReset),
            (_, DirectionState::SourceReset) => Some(RelayEnd::BackendReset),
            // A side may have answered before it broke: the answer is delivered first.
            (broken, other) if broken.is_sink_broken() && other.is_final() => {
                Some(RelayEnd::BackendReset)
            }
            (other, broken) if broken.is_sink_broken() && other.is_final() => {
                Some(RelayEnd::ClientReset)
            }
            _ => None,
        }
    }

    /// Lets the close of the sockets reset both sides, and delivers nothing.
    pub(super) fn reset(&mut self) {
        for sink in [self.up.sink(), self.down.sink()] {
            reset_on_close(sink);
        }
        self.is_closed = true;
    }

    /// Records whether both sides were closed. Then dropping the value does nothing.
    pub(super) const fn note_closed(&mut self, is_closed: bool) {
        self.is_closed = is_closed;
    }

    /// Whether neither direction moves any more bytes.
    pub(super) const fn is_final(&self) -> bool {
        self.up.state().is_final() && self.down.state().is_final()
    }

    pub(super) fn is_half_closed(&self) -> bool {
        self.up.state() != DirectionState::Open || self.down.state() != DirectionState::Open
    }

    pub(super) const fn is_holding(&self) -> bool {
        self.up.is_holding() || self.down.is_holding()
    }

    /// Whether the relay holds bytes that a side sent before it broke.
    pub(super) fn is_delivering(&self) -> bool {
        let pumps = [&self.up, &self.down];
        pumps
            .iter()
            .any(|pump| pump.is_holding() && pump.is_source_broken())
    }

    /// How long ago the kernel last sent bytes to a peer for which the relay holds more. `None` if it holds none.
    ///
    /// The kernel reports a socket as writable only when a third of its send buffer is free, so a slow reader makes
    /// progress that no write shows.
    pub(super) fn last_sent(&self) -> Option<Duration> {
        let pumps = [&self.up, &self.down];
        let holding = pumps.into_iter().filter(|pump| pump.is_holding());
        let queues = holding.filter_map(|pump| SendQueue::of(pump.sink()).ok());
        queues.filter_map(|queue| queue.moved).min()
    }
}

impl Drop for Duplex<'_> {
    /// Cuts the session without waiting.
    ///
    /// Writes what can be written now. Then resets a side if its peer has everything. If its send queue still holds bytes the
    /// side is ended instead, because a reset would discard them.
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        let cut_off = unconstrained(poll_fn(|cx| {
            self.cut();
            while self.advance(cx).is_some() {}
            for (from, towards) in [(&self.up, &self.down), (&self.down, &self.up)] {
                if !towards.state().is_complete() && has_everything(towards.sink()) {
                    reset_on_close(towards.sink());
                } else {
                    // The kernel resets a connection if its socket is closed with bytes unread.
                    let _ = (0..DISCARDS).any(|_| from.discard(cx));
                }
            }
            Poll::Ready(())
        }));
        let _ = pin!(cut_off).poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// Whether the peer's kernel has acknowledged everything written to `stream`. True if the kernel does not report it.
pub(super) fn has_everything(stream: &Stream) -> bool {
    SendQueue::of(stream).map_or(true, |queue| queue.is_empty)
}

/// Marks the side that `from` reads as broken if it is. Only for a side that is not read now: a read reports a break.
fn find_broken<'a>(
    from: &mut Pump<'a>,
    towards: &mut Pump<'a>,
    watched: &mut Watched<'a>,
    cx: &mut Context<'_>,
) -> bool {
    if from.is_source_broken() {
        return false;
    }
    let source = from.source();
    let broken = watched.get_or_insert_with(|| Box::pin(break_of(source)));
    if broken.as_mut().poll(cx).is_pending() {
        return false;
    }
    let ended_before = ended_before_it_broke(source);
    from.note_broken(ended_before);
    towards.give_up(ended_before);
    true
}
