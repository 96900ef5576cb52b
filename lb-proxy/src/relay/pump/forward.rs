//! Moves the bytes of a direction: through the scratch buffer, through a pipe, or from the held bytes.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::task::coop::has_budget_remaining;

use super::{Pump, PumpStep, SCRATCH, WORKER_SCRATCH};
use crate::relay::held_bytes::HeldBytes;
use crate::relay::pipe::{Pipe, is_unsupported};
use crate::relay::read_limit::ReadLimit;
use crate::relay::socket::{read_some, write_some};
use crate::relay::state::DirectionState;

impl Pump<'_> {
    /// Reads once, at most `most` bytes, and writes the bytes once.
    pub(super) fn poll_forward(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<PumpStep> {
        loop {
            if self.limit == ReadLimit::Spent {
                return Poll::Ready((DirectionState::Stopped, 0));
            }
            match self.source.poll_read_ready(cx) {
                Poll::Pending if self.is_limited() && has_budget_remaining() => {
                    return Poll::Ready((DirectionState::Stopped, 0));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready((DirectionState::SourceReset, 0)),
            }
            let forwarded = if self.mode.wants_pipe() {
                self.splice(most)
            } else {
                self.copy(most)
            };
            match forwarded {
                Ok(step) => return Poll::Ready(step),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready((DirectionState::SourceReset, 0)),
            }
        }
    }

    /// Forwards through the worker's scratch buffer. An error comes from the source.
    fn copy(&mut self, most: usize) -> io::Result<PumpStep> {
        WORKER_SCRATCH.with_borrow_mut(|scratch| {
            let most = self.limit.most().min(SCRATCH).min(most);
            let n = read_some(self.source, &mut scratch[..most])?;
            if n == 0 {
                return Ok((DirectionState::Ending, 0));
            }
            self.note_read(n);
            self.prepare_sink();
            let bytes = &scratch[..n];
            let step = self.count(write_some(self.sink, bytes));
            self.held = HeldBytes::copy_of(&bytes[step.1..]);
            Ok(step)
        })
    }

    /// Forwards through a pipe, or copies if none is available. An error comes from the source.
    fn splice(&mut self, most: usize) -> io::Result<PumpStep> {
        let Some(mut pipe) = Pipe::borrow() else {
            self.mode.copy();
            return self.copy(most);
        };
        match pipe.fill(self.source, self.limit.most().min(most)) {
            Ok(n) if n > 0 => {
                self.note_read(n);
                self.prepare_sink();
                let step = self.count(pipe.drain(self.sink));
                self.held = HeldBytes::rest_of(pipe);
                Ok(step)
            }
            filled => {
                pipe.give_back();
                self.without_pipe(filled, most)
            }
        }
    }

    /// Goes on after a splice(2) that moved nothing. In front of an urgent byte it reports an end or a drained socket, and
    /// a read passes that byte.
    fn without_pipe(&mut self, filled: io::Result<usize>, most: usize) -> io::Result<PumpStep> {
        match filled {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.source.may_be_urgent() {
                    self.copy(most)
                } else {
                    self.source.try_read(|| Err(error))
                }
            }
            Err(error) if is_unsupported(&error) => {
                self.mode.forgo_pipes();
                self.copy(most)
            }
            Err(error) => Err(error),
            Ok(_) => self.copy(most),
        }
    }

    /// Writes held bytes once.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<PumpStep> {
        loop {
            if ready!(self.sink.poll_write_ready(cx)).is_err() {
                return Poll::Ready((DirectionState::SinkReset, 0));
            }
            self.prepare_sink();
            match self.held.write_to(self.sink) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(self.count(written)),
            }
        }
    }

    fn note_read(&mut self, n: usize) {
        self.received += n as u64;
        self.bytes.note_read(self.direction, n);
        self.mode.note(n);
        if self.is_limited() {
            self.limit = self.limit.after(n, self.source);
        }
    }

    /// Counts the bytes that the sink accepted. "Would block" is not a failure.
    pub(super) fn count(&mut self, written: io::Result<usize>) -> PumpStep {
        match written {
            Ok(n) => {
                let added = n.min(self.uncounted as usize);
                if added > 0 {
                    self.uncounted -= added as u32;
                    self.added += added as u32;
                    self.bytes.note_added(self.direction, added);
                }
                self.bytes.add(self.direction, (n - added) as u64);
                self.sent += n as u64;
                (self.state, n)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => (self.state, 0),
                io::ErrorKind::BrokenPipe => (DirectionState::SinkClosed, 0),
                _ => (DirectionState::SinkReset, 0),
            },
        }
    }
}
