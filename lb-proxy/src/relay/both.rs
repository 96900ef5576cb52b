//! Both directions of a relay, and the states that they are in together.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop::unconstrained;

use super::RelayEnd;
use super::pump::Pump;
use super::queue::SendQueue;
use super::socket::{break_of, ended_before_it_broke, reset_on_close};
use super::state::State;
use crate::config::HalfClose;
use crate::net::stream::Stream;

/// How many bytes a session moves before the others of the worker get their turn: so few that a bulk transfer delays
/// its neighbours by a fraction of a millisecond.
pub(super) const TURN: usize = 1 << 20;

/// How many times bytes are discarded before a socket is closed whose peer does not stop sending.
const DISCARDS: usize = 64;

/// The directions of a relay. Unless it was closed, dropping it cuts the session off.
pub(super) struct Both<'a> {
    pub(super) up: Pump<'a>,
    pub(super) down: Pump<'a>,
    watched: [Watched<'a>; 2],
    is_closed: bool,
}

/// Completes when a side is broken. Made when it is first needed: an idle session does without.
type Watched<'a> = Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>;

impl<'a> Both<'a> {
    pub(super) const fn new(up: Pump<'a>, down: Pump<'a>) -> Self {
        Self {
            up,
            down,
            watched: [None, None],
            is_closed: false,
        }
    }

    /// Moves what can be moved now, at most a [`TURN`]. `None` if that is nothing.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>) -> Option<usize> {
        let mut moved = None;
        while moved.is_none_or(|n| n < TURN) {
            let upwards = self.up.step(cx);
            self.share();
            let downwards = self.down.step(cx);
            self.share();
            if upwards.is_none() && downwards.is_none() {
                break;
            }
            let step = upwards.unwrap_or(0) + downwards.unwrap_or(0);
            moved = Some(moved.unwrap_or(0) + step);
        }
        moved
    }

    /// Lets a direction know that writing has shown its source to be broken.
    fn share(&mut self) {
        let [upwards, downwards] = [self.up.state(), self.down.state()];
        for (from, towards) in [(&mut self.up, downwards), (&mut self.down, upwards)] {
            if towards.is_sink_broken() && !from.is_source_broken() {
                from.note_broken(towards == State::SinkClosed);
            }
        }
    }

    /// Looks at sides that are not read from now, where a reset shows by itself. Says whether one is found to be broken.
    pub(super) fn watch(&mut self, cx: &mut Context<'_>) -> bool {
        let Self {
            up, down, watched, ..
        } = self;
        let [client, backend] = watched;
        let client = find_broken(up, down, client, cx);
        let backend = find_broken(down, up, backend, cx);
        client || backend
    }

    /// Reads no more than what the kernel has acknowledged by now.
    pub(super) fn limit(&mut self) {
        self.up.limit();
        self.down.limit();
    }

    /// Reads from a side whose bytes the other side does not take any more, so that it can go on to what there is for it.
    pub(super) fn discard(&self, cx: &mut Context<'_>) {
        for (from, towards) in [(&self.up, &self.down), (&self.down, &self.up)] {
            if from.state().is_sink_broken() && !towards.state().is_final() {
                from.discard(cx);
            }
        }
    }

    /// Passes on the ends that were reached. `Some` if nothing is left to do; `is_drained` tells that nothing can be read
    /// or written now.
    pub(super) fn settle(&mut self, half_close: HalfClose, is_drained: bool) -> Option<RelayEnd> {
        let Self { up, down, .. } = self;
        let [above, below] = [up.state(), down.state()].map(State::is_complete);
        if above && below {
            // Closing the sockets passes on the end that is due.
            return Some(RelayEnd::Finished);
        }
        if half_close == HalfClose::End && (above || below) {
            let other = if above { &mut *down } else { &mut *up };
            let is_empty = is_drained && !other.is_holding();
            if is_empty || other.state() == State::Stopped {
                return Some(RelayEnd::Finished);
            }
            // What had come by the end of the first stream is delivered; the session does not wait for more.
            other.limit();
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

    /// Notes whether both sides were closed, so that dropping this has nothing left to do.
    pub(super) const fn note_closed(&mut self, is_closed: bool) {
        self.is_closed = is_closed;
    }

    /// Whether neither direction moves any more.
    pub(super) const fn is_final(&self) -> bool {
        self.up.state().is_final() && self.down.state().is_final()
    }

    pub(super) fn is_half_closed(&self) -> bool {
        self.up.state() != State::Open || self.down.state() != State::Open
    }

    pub(super) const fn is_holding(&self) -> bool {
        self.up.is_holding() || self.down.is_holding()
    }

    /// Whether bytes are held that a side sent before it broke.
    pub(super) fn is_delivering(&self) -> bool {
        let pumps = [&self.up, &self.down];
        pumps
            .iter()
            .any(|pump| pump.is_holding() && pump.is_source_broken())
    }

    /// How long ago a peer that bytes are held for took some from the kernel. The kernel reports room for more only when
    /// a third of its buffer is free, so that a slow reader makes progress that no write shows.
    pub(super) fn taken(&self) -> Option<Duration> {
        let pumps = [&self.up, &self.down];
        let holding = pumps.into_iter().filter(|pump| pump.is_holding());
        let queues = holding.filter_map(|pump| SendQueue::of(pump.sink()).ok());
        queues.filter_map(|queue| queue.moved).min()
    }
}

impl Drop for Both<'_> {
    /// Cuts the session off without waiting: what can be written now is written. Then a side whose peer has everything is
    /// reset. One whose kernel still holds bytes is ended instead, because a reset would throw them away.
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        let cut_off = unconstrained(poll_fn(|cx| {
            self.limit();
            while self.advance(cx).is_some() {}
            for (from, towards) in [(&self.up, &self.down), (&self.down, &self.up)] {
                if !towards.state().is_complete() && has_everything(towards.sink()) {
                    reset_on_close(towards.sink());
                } else {
                    // The kernel resets a socket that is closed with bytes unread.
                    let _ = (0..DISCARDS).any(|_| from.discard(cx));
                }
            }
            Poll::Ready(())
        }));
        let _ = pin!(cut_off).poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// Whether the peer's kernel has acknowledged all that `stream` was given, as far as this machine can tell.
pub(super) fn has_everything(stream: &Stream) -> bool {
    SendQueue::of(stream).map_or(true, |queue| queue.is_empty)
}

/// Notes if the side that `from` reads is found to be broken. Reading shows that by itself; a side that is not read from
/// now is watched.
fn find_broken<'a>(
    from: &mut Pump<'a>,
    towards: &mut Pump<'a>,
    watched: &mut Watched<'a>,
    cx: &mut Context<'_>,
) -> bool {
    if from.is_reading() || from.is_source_broken() {
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
