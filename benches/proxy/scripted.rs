//! Streams in memory: a client with one message, and a backend that echoes. Neither allocates.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The length of a small message.
pub(crate) const MESSAGE: usize = 64;

/// One side of a session.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    /// The bytes that can be read now.
    readable: usize,
    /// How many bytes it gets before its stream ends: `None` in a backend, which ends after the client.
    expects: Option<usize>,
    written: usize,
    is_ended: bool,
    /// Of the reader that found nothing.
    reader: Option<Waker>,
}

impl Scripted {
    /// Sends a message, and ends after an answer of its length.
    pub(crate) fn client() -> Self {
        Self {
            readable: MESSAGE,
            expects: Some(MESSAGE),
            ..Self::default()
        }
    }

    /// Sends back what it receives, and ends when it gets an end.
    pub(crate) fn backend() -> Self {
        Self::default()
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.readable.min(buffer.remaining());
        if len > 0 {
            buffer.put_slice(&[7; MESSAGE][..len]);
            self.readable -= len;
        } else if !self.is_ended && self.expects != Some(self.written) {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written += bytes.len();
        if self.expects.is_none() {
            self.readable += bytes.len();
        }
        self.wake();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_ended = true;
        self.wake();
        Poll::Ready(Ok(()))
    }
}
