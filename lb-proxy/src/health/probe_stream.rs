//! The connection of a probe.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::error::CheckError;
use crate::net::stream::Stream;
use crate::relay::reset_on_close;

/// The connection of a probe. Dropping it closes the connection.
#[derive(Debug)]
pub struct ProbeStream {
    stream: Stream,
}

impl ProbeStream {
    pub(super) const fn new(stream: Stream) -> Self {
        Self { stream }
    }

    /// The address of this end. `None` for a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    /// The address of the backend's end. `None` for a unix socket.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// Makes the close of the connection reset it, so that this end keeps no port of it (`TIME_WAIT`). What the backend has
    /// not read by then is lost.
    pub fn reset_on_close(&self) {
        reset_on_close(&self.stream);
    }

    /// Reads into `buffer`, up to `limit` bytes in all, until `is_complete` says so of all that was read. Returns whether it
    /// did: if not, the stream has ended.
    ///
    /// # Errors
    ///
    /// [`CheckError::Unexpected`] after `limit` bytes, or the error of reading.
    pub async fn read_until<T>(
        &mut self,
        buffer: &mut Vec<u8>,
        limit: usize,
        mut is_complete: impl FnMut(&[u8]) -> Option<T> + Send,
    ) -> Result<Option<T>, CheckError> {
        loop {
            if buffer.len() >= limit {
                let text = format!("no end of the answer within {limit} bytes");
                return Err(CheckError::Unexpected(text.into()));
            }
            let room = (limit - buffer.len()) as u64;
            let n = (&mut *self).take(room).read_buf(buffer).await?;
            if n == 0 {
                return Ok(None);
            }
            if let Some(found) = is_complete(buffer) {
                return Ok(Some(found));
            }
        }
    }
}

impl AsyncRead for ProbeStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &self.stream;
        loop {
            ready!(stream.poll_read_ready(cx))?;
            let free = buffer.initialize_unfilled();
            match stream.try_read(|| Ok(recv(stream, free, RecvFlags::empty())?.0)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(n) => {
                    buffer.advance(n);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for ProbeStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = &self.stream;
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match stream.try_write(|| Ok(send(stream, bytes, SendFlags::NOSIGNAL)?)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(shutdown(&self.stream, Shutdown::Write)?))
    }
}
