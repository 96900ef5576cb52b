//! A connection to a backend that counts as in flight until it is dropped.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use lb_core::Backend;
use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, sendmsg, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::attempt_times::AttemptTimes;
use crate::close_reason::CloseReason;
use crate::net::stream::Stream;
use crate::or_never::or_never;
use crate::relay::{Relay, RelayReport, read_some, transfer_to, write_some};
use crate::upstream::drain::LossWatcher;
use crate::upstream::{Lease, Upstream};

/// A connection to a backend, of [`Upstream::connect`](crate::Upstream::connect). It holds the lease: the connection counts as
/// in flight until it is dropped, which also closes it.
///
/// The first read or write sends the upstream's PROXY header first, if it has one. Shutting down the writing half sends a
/// FIN. Dropping it with bytes unread resets the connection, as the kernel does with every socket.
#[derive(Debug)]
pub struct Connected {
    stream: Stream,
    /// What is left of the PROXY header.
    header: Vec<u8>,
    /// Told about the first byte of the backend.
    first_byte: Option<Arc<AttemptTimes>>,
    upstream: Upstream,
    lease: Lease,
}

impl Connected {
    pub(super) fn new(upstream: Upstream, lease: Lease, stream: Stream, header: Vec<u8>) -> Self {
        Self {
            stream,
            header,
            first_byte: lease.first_byte_times(),
            upstream,
            lease,
        }
    }

    /// The backend, as its source described it when it was picked or later.
    pub fn backend(&self) -> Arc<Backend> {
        self.lease.backend()
    }

    /// The address of this end of a TCP connection.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2); `Unsupported` for a unix socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Completes when the connection should be closed because its backend was removed, ejected or found unhealthy, as
    /// [`on_removed`](crate::UpstreamBuilder::on_removed) and [`on_unhealthy`](crate::UpstreamBuilder::on_unhealthy) say. Never
    /// by default. Cancel-safe.
    pub async fn lost(&self) -> CloseReason {
        let watcher = self.upstream.watch_loss(&self.lease);
        or_never(watcher.map(LossWatcher::due)).await
    }

    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.header.is_empty() {
            let sent = ready!(poll_write(&self.stream, cx, |to| write_some(
                to,
                &self.header
            )))?;
            self.header.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }
}

/// Calls `write` as soon as the socket accepts bytes.
fn poll_write(
    stream: &Stream,
    cx: &mut Context<'_>,
    write: impl Fn(&Stream) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match write(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
    }
}

impl AsyncRead for Connected {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_header(cx))?;
        // A read that asks for nothing tells nothing about the backend.
        let asks = buf.remaining() > 0;
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match read_some(&self.stream, buf.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
                    buf.advance(read);
                    if asks && let Some(times) = self.first_byte.take() {
                        times.first_byte();
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Connected {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_header(cx))?;
        poll_write(&self.stream, cx, |to| write_some(to, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_header(cx))?;
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        poll_write(&self.stream, cx, |to| {
            transfer_to(to, wanted, || {
                let none = &mut SendAncillaryBuffer::default();
                Ok(sendmsg(to, bufs, none, SendFlags::NOSIGNAL)?)
            })
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_header(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_header(cx))?;
        match shutdown(&self.stream, Shutdown::Write) {
            // The peer has reset the connection, or both ends are closed.
            Err(rustix::io::Errno::NOTCONN) | Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl Relay {
    /// Relays between a client and a connection of [`Upstream::connect`](crate::Upstream::connect), as [`run`](Self::run) does
    /// and as fast. The connection counts as in flight until its side has ended.
    pub async fn run_to(&self, client: TcpStream, backend: Connected) -> RelayReport {
        let Connected {
            stream,
            header,
            first_byte,
            mut lease,
            ..
        } = backend;
        let left = || lease.end();
        self.run_sockets(client.into(), stream, header, first_byte, left)
            .await
    }
}

impl AsFd for Connected {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
