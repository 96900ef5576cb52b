//! One direction of a relay.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::socket::{end, read_some, write_some};
use crate::metrics::Counter;

/// What a worker reads at once. Large enough that a system call's cost is spread thin, small enough to stay in the
/// second-level cache; a blocked direction holds no more than this.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    static WORKER_SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// How far a direction has got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// The source's end was passed on.
    Done,
    /// The source has ended; what is held goes first, then the end.
    Ending,
    /// Bytes may come.
    Open,
    /// The sink takes no more: its peer has reset or closed.
    SinkReset,
    /// The source was reset.
    SourceReset,
}

impl State {
    /// Whether nothing moves in this direction any more.
    pub(crate) const fn is_final(self) -> bool {
        !matches!(self, Self::Ending | Self::Open)
    }
}

/// Moves bytes from `source` to `sink`.
#[derive(Debug)]
pub(crate) struct Pump<'a> {
    source: &'a TcpStream,
    sink: &'a TcpStream,
    counter: &'a Counter,
    state: State,
    /// Read but not yet written; empty without an allocation most of the time.
    held: Held,
}

impl<'a> Pump<'a> {
    pub(crate) fn new(source: &'a TcpStream, sink: &'a TcpStream, counter: &'a Counter) -> Self {
        Self {
            source,
            sink,
            counter,
            state: State::Open,
            held: Held::default(),
        }
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// Whether bytes were read that the sink has not taken.
    pub(crate) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether a reset of the source would be noticed by reading.
    pub(crate) fn is_reading(&self) -> bool {
        self.state == State::Open && self.held.is_empty()
    }

    /// Takes one step if one can be taken now: moves some bytes, or the end. True if it did.
    pub(crate) fn step(&mut self, cx: &mut Context<'_>) -> bool {
        let step = if self.state.is_final() {
            Poll::Pending
        } else if !self.held.is_empty() {
            self.poll_flush(cx)
        } else if self.state == State::Open {
            self.poll_forward(cx)
        } else {
            Poll::Ready(self.end())
        };
        let Poll::Ready(state) = step else {
            return false;
        };
        self.state = state;
        true
    }

    /// Reads once and writes that once.
    fn poll_forward(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        loop {
            if ready!(self.source.poll_read_ready(cx)).is_err() {
                return Poll::Ready(State::SourceReset);
            }
            let forwarded = WORKER_SCRATCH.with_borrow_mut(|scratch| {
                let read = match read_some(self.source, scratch) {
                    Ok(0) => return Some(State::Ending),
                    Ok(n) => &scratch[..n],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                    Err(_) => return Some(State::SourceReset),
                };
                Some(self.write_on(read))
            });
            if let Some(state) = forwarded {
                return Poll::Ready(state);
            }
        }
    }

    fn write_on(&mut self, bytes: &[u8]) -> State {
        let written = match write_some(self.sink, bytes) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return State::SinkReset,
        };
        self.counter.add(written as u64);
        self.held = Held::copy_of(&bytes[written..]);
        State::Open
    }

    /// Writes some of what is held.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        loop {
            if ready!(self.sink.poll_write_ready(cx)).is_err() {
                return Poll::Ready(State::SinkReset);
            }
            match write_some(self.sink, self.held.bytes()) {
                Ok(n) => {
                    self.counter.add(n as u64);
                    self.held.advance(n);
                    return Poll::Ready(self.state);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(State::SinkReset),
            }
        }
    }

    fn end(&self) -> State {
        match end(self.sink) {
            Ok(()) => State::Done,
            Err(_) => State::SinkReset,
        }
    }
}

/// Bytes that the sink did not take yet.
#[derive(Debug, Default)]
struct Held {
    buffer: Box<[u8]>,
    written: usize,
}

impl Held {
    fn copy_of(bytes: &[u8]) -> Self {
        Self {
            buffer: bytes.into(),
            written: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.written..]
    }

    fn advance(&mut self, n: usize) {
        self.written += n;
        if self.written >= self.buffer.len() {
            *self = Self::default();
        }
    }
}
