//! What a direction has read and its sink has not taken.

use std::io;

use super::pipe::Pipe;
use super::socket::write_some;
use crate::net::stream::Stream;

/// Nothing most of the time, and then without an allocation or a pipe.
#[derive(Debug)]
pub(super) enum Held {
    /// What of `buffer` is behind the first `written` bytes.
    Buffer {
        buffer: Box<[u8]>,
        written: usize,
    },
    Nothing,
    /// What is in a pipe, which is not empty.
    Pipe(Pipe),
}

impl Held {
    pub(super) fn copy_of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Nothing;
        }
        Self::Buffer {
            buffer: bytes.into(),
            written: 0,
        }
    }

    /// Holds `bytes` but for the first `written`.
    pub(super) fn rest_of_bytes(bytes: Vec<u8>, written: usize) -> Self {
        if written >= bytes.len() {
            return Self::Nothing;
        }
        Self::Buffer {
            buffer: bytes.into(),
            written,
        }
    }

    /// Holds what is in `pipe`, which goes back to its pool if that is nothing.
    pub(super) fn rest_of(pipe: Pipe) -> Self {
        if pipe.is_empty() {
            pipe.give_back();
            return Self::Nothing;
        }
        Self::Pipe(pipe)
    }

    pub(super) const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Writes once to `sink`.
    pub(super) fn write_to(&mut self, sink: &Stream) -> io::Result<usize> {
        match self {
            Self::Buffer { buffer, written } => {
                let n = write_some(sink, &buffer[*written..])?;
                *written += n;
                if *written == buffer.len() {
                    *self = Self::Nothing;
                }
                Ok(n)
            }
            Self::Nothing => Ok(0),
            Self::Pipe(pipe) => {
                let n = pipe.drain(sink)?;
                if pipe.is_empty()
                    && let Self::Pipe(pipe) = std::mem::replace(self, Self::Nothing)
                {
                    pipe.give_back();
                }
                Ok(n)
            }
        }
    }
}
