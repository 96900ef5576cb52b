//! One direction of a relay.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::gauge::Gauge;
use super::held::Held;
use super::pipe::{Pipe, is_unsupported};
use super::socket::{end, ended_before_it_broke, read_some, write_some};
use crate::config::Splice;
use crate::metrics::Counter;

/// What a worker reads at once. Large enough that a system call's cost is spread thin, small enough to stay in the
/// second-level cache; a blocked direction that copies holds no more than this.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    static WORKER_SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// How far a direction has got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// The source has ended and the sink has everything but the end.
    AtEnd,
    /// The source's end was passed on.
    Done,
    /// The source has ended; what is held goes first.
    Ending,
    /// Bytes may come.
    Open,
    /// The sink takes no more, but had ended its own stream before.
    SinkClosed,
    /// The sink was reset.
    SinkReset,
    /// The source was reset.
    SourceReset,
}

impl State {
    /// Whether nothing moves in this direction any more.
    pub(super) const fn is_final(self) -> bool {
        !matches!(self, Self::Ending | Self::Open)
    }

    /// Whether the sink takes no more.
    pub(super) const fn is_sink_broken(self) -> bool {
        matches!(self, Self::SinkClosed | Self::SinkReset)
    }

    /// Whether the sink has all that the source sent.
    pub(super) const fn is_complete(self) -> bool {
        matches!(self, Self::AtEnd | Self::Done)
    }
}

/// Moves bytes from `source` to `sink`.
#[derive(Debug)]
pub(super) struct Pump<'a> {
    source: &'a TcpStream,
    sink: &'a TcpStream,
    counter: &'a Counter,
    state: State,
    gauge: Gauge,
    held: Held,
}

/// Where a step led to, and how many bytes it moved.
type Step = (State, usize);

impl<'a> Pump<'a> {
    pub(super) const fn new(
        source: &'a TcpStream,
        sink: &'a TcpStream,
        splice: Splice,
        counter: &'a Counter,
    ) -> Self {
        Self {
            source,
            sink,
            counter,
            state: State::Open,
            gauge: Gauge::new(splice),
            held: Held::Nothing,
        }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// Whether bytes were read that the sink has not taken.
    pub(super) const fn is_holding(&self) -> bool {
        !self.held.is_nothing()
    }

    /// Whether a reset of the source would be noticed by reading.
    pub(super) fn is_reading(&self) -> bool {
        self.state == State::Open && !self.is_holding()
    }

    /// Whether the source, which was found to be broken, had ended before and is owed the delivery of what it sent.
    pub(super) fn is_owed(&self) -> bool {
        match self.state {
            State::Ending => true,
            State::Open => ended_before_it_broke(self.source),
            _ => false,
        }
    }

    /// Takes one step if one can be taken now: moves some bytes, or the end. Says how many bytes it moved.
    ///
    /// The kernel tells of a reset once. If it did so when something was written to the source, `is_source_reset`, then
    /// reading from it comes to an end that is none.
    pub(super) fn step(&mut self, cx: &mut Context<'_>, is_source_reset: bool) -> Option<usize> {
        let step = if self.state.is_final() {
            Poll::Pending
        } else if self.is_holding() {
            self.poll_flush(cx)
        } else {
            self.poll_forward(cx)
        };
        let Poll::Ready((state, n)) = step else {
            return None;
        };
        self.state = match state {
            State::Ending if self.state == State::Open && is_source_reset => State::SourceReset,
            State::Ending if !self.is_holding() => State::AtEnd,
            state => state,
        };
        if self.state.is_sink_broken() {
            self.held = Held::Nothing;
        }
        Some(n)
    }

    /// Passes the source's end on if it was reached.
    pub(super) fn pass_end(&mut self) {
        if self.state == State::AtEnd {
            self.state = match end(self.sink) {
                Ok(()) => State::Done,
                Err(_) => State::SinkClosed,
            };
        }
    }

    /// The sink was found to be broken behind its end: what is held is lost.
    pub(super) fn give_up(&mut self) {
        self.state = State::SinkClosed;
        self.held = Held::Nothing;
    }

    /// Reads once and writes that once.
    fn poll_forward(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if ready!(self.source.poll_read_ready(cx)).is_err() {
                return Poll::Ready((State::SourceReset, 0));
            }
            let forwarded = if self.gauge.wants_pipe() {
                self.splice()
            } else {
                self.copy()
            };
            match forwarded {
                Ok(step) => return Poll::Ready(step),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready((State::SourceReset, 0)),
            }
        }
    }

    /// Forwards through the worker's scratch buffer. An error is the source's.
    fn copy(&mut self) -> io::Result<Step> {
        WORKER_SCRATCH.with_borrow_mut(|scratch| {
            let n = read_some(self.source, scratch)?;
            if n == 0 {
                return Ok((State::Ending, 0));
            }
            self.gauge.note(n);
            let bytes = &scratch[..n];
            let step = self.count(write_some(self.sink, bytes));
            self.held = Held::copy_of(&bytes[step.1..]);
            Ok(step)
        })
    }

    /// Forwards through a pipe, or a copy where there is none. An error is the source's.
    fn splice(&mut self) -> io::Result<Step> {
        let Some(mut pipe) = Pipe::borrow() else {
            self.gauge.copy();
            return self.copy();
        };
        let filled = pipe.fill(self.source);
        if filled.as_ref().is_err_and(is_unsupported) {
            self.gauge.forgo_pipes();
            return self.copy();
        }
        let step = filled.map(|n| {
            if n == 0 {
                return (State::Ending, 0);
            }
            self.gauge.note(n);
            self.count(pipe.drain(self.sink))
        });
        self.held = Held::rest_of(pipe);
        step
    }

    /// Writes some of what is held.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if ready!(self.sink.poll_write_ready(cx)).is_err() {
                return Poll::Ready((State::SinkReset, 0));
            }
            match self.held.write_to(self.sink) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(self.count(written)),
            }
        }
    }

    /// Counts what the sink took. That it takes nothing now is no failure.
    fn count(&self, written: io::Result<usize>) -> Step {
        match written {
            Ok(n) => {
                self.counter.add(n as u64);
                (self.state, n)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => (self.state, 0),
                io::ErrorKind::BrokenPipe => (State::SinkClosed, 0),
                _ => (State::SinkReset, 0),
            },
        }
    }
}
