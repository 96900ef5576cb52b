//! Bytes that a direction has read and its sink has not accepted.

use std::io;

use super::pipe::Pipe;
use super::socket::write_some;
use crate::net::stream::Stream;

/// The held bytes of a direction. `Nothing` owns neither an allocation nor a pipe.
#[derive(Debug)]
pub(super) enum HeldBytes {
    /// The bytes of `buffer` behind the first `written` ones.
    Buffer {
        buffer: Box<[u8]>,
        written: usize,
    },
    Nothing,
    /// The bytes in a pipe, which is not empty.
    Pipe(Pipe),
}

impl HeldBytes {
    pub(super) fn copy_of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Nothing;
        }
        Self::Buffer {
            buffer: bytes.into(),
            written: 0,
        }
    }

    /// Holds `bytes` without the first `written`.
    pub(super) fn rest_of_bytes(bytes: Vec<u8>, written: usize) -> Self {
        if written >= bytes.len() {
            return Self::Nothing;
        }
        Self::Buffer {
            buffer: bytes.into(),
            written,
        }
    }

    /// Holds the bytes in `pipe`. An empty pipe goes back to the pool.
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

    /// How many bytes are held.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Buffer { buffer, written } => buffer.len() - written,
            Self::Nothing => 0,
            Self::Pipe(pipe) => pipe.len(),
        }
    }

    /// Writes once to `sink`. Returns the number of bytes written.
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
