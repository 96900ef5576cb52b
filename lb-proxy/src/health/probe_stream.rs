//! The connection of a probe.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::sleep;

use super::error::CheckError;
use crate::net::stream::Stream;
use crate::relay::reset_on_close;

/// How many reads of an answer follow each other at once.
const EAGER_READS: usize = 32;

/// The time before each further one.
const PACE: Duration = Duration::from_millis(1);

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
    /// Reads at most once a millisecond after the first 32 reads, so that an answer in small pieces does not keep the thread of
    /// the probes busy with `is_complete`.
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
        for read in 0_usize.. {
            if buffer.len() >= limit {
                let text = format!("no end of the answer within {limit} bytes");
                return Err(CheckError::Unexpected(text.into()));
            }
            if read >= EAGER_READS {
                sleep(PACE).await;
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
        Ok(None)
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_small_pieces_is_read_at_most_once_a_millisecond() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, server) = tokio::join!(
            TcpStream::connect(listener.local_addr().unwrap()),
            listener.accept()
        );
        let (mut stream, mut server) =
            (ProbeStream::new(client.unwrap().into()), server.unwrap().0);
        let writing = tokio::spawn(async move {
            server.set_nodelay(true).unwrap();
            for _ in 0..1000 {
                server.write_all(b"x").await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let (begin, mut reads) = (Instant::now(), 0_usize);
        let mut answer = Vec::new();
        let end = stream.read_until(&mut answer, 1001, |_| {
            reads += 1;
            None::<()>
        });
        assert!(end.await.unwrap().is_none());
        assert_eq!(answer.len(), 1000);
        let paced = reads.saturating_sub(EAGER_READS) as u32;
        assert!(begin.elapsed() >= PACE * paced, "{reads} reads");
        writing.await.unwrap();
    }
}
