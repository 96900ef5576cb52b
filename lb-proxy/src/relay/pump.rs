//! One direction of a relay.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use tokio::task::coop::has_budget_remaining;

use super::gauge::Gauge;
use super::held::Held;
use super::limit::Limit;
use super::pipe::{Pipe, is_unsupported};
use super::socket::{end, read_some, write_some};
use super::state::{Source, State};
use crate::config::Splice;
use crate::metrics::Counter;
use crate::net::stream::Stream;

/// What a worker reads at once. Large enough that a system call's cost is spread thin, small enough to stay in the
/// second-level cache; a blocked direction that copies holds no more than this.
const SCRATCH: usize = 64 * 1024;

/// How many times a step that discards may read before other sessions get their turn.
const DISCARDED_READS: usize = 16;

thread_local! {
    static WORKER_SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// Moves bytes from `source` to `sink`.
#[derive(Debug)]
pub(super) struct Pump<'a> {
    source: &'a Stream,
    sink: &'a Stream,
    counter: &'a Counter,
    state: State,
    source_is: Source,
    gauge: Gauge,
    held: Held,
    limit: Limit,
    /// Bytes that the sink took, at most `u32::MAX`.
    sent: u32,
    /// How many of the next bytes are not the source's, and are not counted.
    uncounted: usize,
}

/// Where a step led to, and how many bytes it moved.
type Step = (State, usize);

impl<'a> Pump<'a> {
    pub(super) const fn new(
        source: &'a Stream,
        sink: &'a Stream,
        splice: Splice,
        counter: &'a Counter,
    ) -> Self {
        Self {
            source,
            sink,
            counter,
            state: State::Open,
            source_is: Source::Alive,
            gauge: Gauge::new(splice),
            held: Held::Nothing,
            limit: Limit::None,
            sent: 0,
            uncounted: 0,
        }
    }

    /// Puts `held` before all that is read, and writes once. The first `uncounted` bytes are not counted.
    pub(super) fn begin_with(&mut self, held: Held, uncounted: usize) {
        self.held = held;
        self.uncounted = uncounted;
        if self.is_holding() {
            let written = self.held.write_to(self.sink);
            self.state = self.count(written).0;
        }
        if self.state.is_sink_broken() {
            self.held = Held::Nothing;
        }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    pub(super) const fn source(&self) -> &'a Stream {
        self.source
    }

    pub(super) const fn sink(&self) -> &'a Stream {
        self.sink
    }

    /// Bytes that the sink took, at most `u32::MAX`.
    pub(super) const fn sent(&self) -> u32 {
        self.sent
    }

    /// Whether bytes were read that the sink has not taken.
    pub(super) const fn is_holding(&self) -> bool {
        !self.held.is_nothing()
    }

    /// Whether a reset of the source would be noticed by reading.
    pub(super) fn is_reading(&self) -> bool {
        self.state == State::Open && !self.is_holding()
    }

    /// Whether the source is known to be broken.
    pub(super) fn is_source_broken(&self) -> bool {
        self.source_is != Source::Alive
    }

    /// Whether the source's stream has come to an end, or to a reset.
    pub(super) fn is_source_over(&self) -> bool {
        self.is_source_broken()
            || matches!(self.state, State::Ending | State::SourceReset)
            || self.state.is_complete()
    }

    /// Takes note that the source is broken. What it sent before can still be read.
    pub(super) fn note_broken(&mut self, ended_before: bool) {
        self.source_is = if ended_before {
            Source::Ended
        } else {
            Source::Reset
        };
    }

    /// The sink was found to be broken: what is held for it is lost.
    pub(super) fn give_up(&mut self, ended_before: bool) {
        if !self.state.is_final() {
            self.state = if ended_before {
                State::SinkClosed
            } else {
                State::SinkReset
            };
        }
        self.held = Held::Nothing;
    }

    /// Reads no more than what the kernel has acknowledged to the source by now.
    pub(super) fn limit(&mut self) {
        if self.limit == Limit::None && self.state == State::Open {
            self.limit = Limit::now(self.source);
        }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limit != Limit::None
    }

    /// Takes one step if one can be taken now: moves some bytes, or the end. Says how many bytes it moved.
    pub(super) fn step(&mut self, cx: &mut Context<'_>) -> Option<usize> {
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
            State::Ending if self.state == State::Open && self.source_is == Source::Reset => {
                State::SourceReset
            }
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

    /// Reads on behalf of a sink that takes no more, so that the source, which may have to write before it reads, comes to
    /// read what the other direction has for it. Returns whether nothing more can be read now; else it wakes the task.
    pub(super) fn discard(&self, cx: &mut Context<'_>) -> bool {
        for _ in 0..DISCARDED_READS {
            match self.source.poll_read_ready(cx) {
                Poll::Ready(Ok(())) => {}
                _ => return true,
            }
            let read = WORKER_SCRATCH.with_borrow_mut(|scratch| read_some(self.source, scratch));
            match read {
                Ok(0) => return true,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return true,
                _ => {}
            }
        }
        cx.waker().wake_by_ref();
        false
    }

    /// Reads once and writes that once.
    fn poll_forward(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if self.limit == Limit::Spent {
                return Poll::Ready((State::Stopped, 0));
            }
            match self.source.poll_read_ready(cx) {
                Poll::Pending if self.is_limited() && has_budget_remaining() => {
                    return Poll::Ready((State::Stopped, 0));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready((State::SourceReset, 0)),
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
            let most = self.limit.most().min(SCRATCH);
            let n = read_some(self.source, &mut scratch[..most])?;
            if n == 0 {
                return Ok((State::Ending, 0));
            }
            self.note_read(n);
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
        match pipe.fill(self.source, self.limit.most()) {
            Ok(n) if n > 0 => {
                self.note_read(n);
                let step = self.count(pipe.drain(self.sink));
                self.held = Held::rest_of(pipe);
                Ok(step)
            }
            filled => {
                pipe.give_back();
                self.without_pipe(filled)
            }
        }
    }

    /// What follows after splice(2) brought nothing. It does not pass an urgent byte, and tells of an end or a drained
    /// socket there. Reading passes it.
    fn without_pipe(&mut self, filled: io::Result<usize>) -> io::Result<Step> {
        match filled {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.source.may_be_urgent() {
                    self.copy()
                } else {
                    self.source.try_read(|| Err(error))
                }
            }
            Err(error) if is_unsupported(&error) => {
                self.gauge.forgo_pipes();
                self.copy()
            }
            Err(error) => Err(error),
            Ok(_) => self.copy(),
        }
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

    fn note_read(&mut self, n: usize) {
        self.gauge.note(n);
        if self.is_limited() {
            self.limit = self.limit.after(n, self.source);
        }
    }

    /// Counts what the sink took. That it takes nothing now is no failure.
    fn count(&mut self, written: io::Result<usize>) -> Step {
        match written {
            Ok(n) => {
                let uncounted = n.min(self.uncounted);
                self.uncounted -= uncounted;
                self.counter.add((n - uncounted) as u64);
                self.sent = self
                    .sent
                    .saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
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
