//! Sockets of connections, and the listening sockets that they come from.
//!
//! tokio's own `TcpStream` does not say when the kernel holds urgent data (`MSG_OOB`). Reading and splice(2) stop in front
//! of such a byte, as if the socket were drained. [`Stream`] asks epoll for that as well, which costs no system call.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

/// Ready when the kernel holds an urgent byte. Where it does not tell, any readable socket may have one.
#[cfg(any(target_os = "android", target_os = "linux"))]
const URGENT: Interest = Interest::PRIORITY;
#[cfg(not(any(target_os = "android", target_os = "linux")))]
const URGENT: Interest = Interest::READABLE;

/// What a [`Stream`] is registered for.
const EVENTS: Interest = Interest::READABLE.add(Interest::WRITABLE).add(URGENT);

/// A connection.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    /// Registered for [`EVENTS`].
    Own(AsyncFd<std::net::TcpStream>),
    /// Registered by tokio, without urgent data.
    Tokio(tokio::net::TcpStream),
}

impl Stream {
    /// Registers a socket, which must not block, with the current runtime.
    pub(crate) fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        let socket = Socket::Own(register(stream, EVENTS)?);
        Ok(Self { socket })
    }

    /// Completes when one of `interest` is ready.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match &self.socket {
            Socket::Own(fd) => Ok(fd.ready(interest).await?.ready()),
            Socket::Tokio(stream) => stream.ready(interest).await,
        }
    }

    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            Socket::Own(fd) => fd.poll_read_ready(cx).map_ok(drop),
            Socket::Tokio(stream) => stream.poll_read_ready(cx),
        }
    }

    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            Socket::Own(fd) => fd.poll_write_ready(cx).map_ok(drop),
            Socket::Tokio(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Calls `read` if the socket is ready for it. "Would block" clears the readiness.
    pub(crate) fn try_read<R>(&self, read: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match &self.socket {
            // Clears what is known of urgent data as well, unless more has come meanwhile.
            Socket::Own(fd) if self.may_be_urgent() => {
                fd.try_io(URGENT, |_| fd.try_io(Interest::READABLE, |_| read()))
            }
            Socket::Own(fd) => fd.try_io(Interest::READABLE, |_| read()),
            Socket::Tokio(stream) => stream.try_io(Interest::READABLE, read),
        }
    }

    /// Calls `write` if the socket is ready for it. "Would block" clears the readiness.
    pub(crate) fn try_write<R>(&self, write: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match &self.socket {
            Socket::Own(fd) => fd.try_io(Interest::WRITABLE, |_| write()),
            Socket::Tokio(stream) => stream.try_io(Interest::WRITABLE, write),
        }
    }

    /// Whether a read may have stopped in front of an urgent byte, although bytes follow that byte. False positives are
    /// allowed, false negatives are not: an urgent byte that arrives later makes the socket readable again.
    pub(crate) fn may_be_urgent(&self) -> bool {
        match &self.socket {
            Socket::Own(fd) => fd.try_io(URGENT, |_| Ok(())).is_ok(),
            Socket::Tokio(_) => true,
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.socket {
            Socket::Own(fd) => fd.get_ref().local_addr(),
            Socket::Tokio(stream) => stream.local_addr(),
        }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.socket {
            Socket::Own(fd) => fd.get_ref().peer_addr(),
            Socket::Tokio(stream) => stream.peer_addr(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Own(fd) => fd.as_fd(),
            Socket::Tokio(stream) => stream.as_fd(),
        }
    }
}

impl From<tokio::net::TcpStream> for Stream {
    fn from(stream: tokio::net::TcpStream) -> Self {
        Self {
            socket: Socket::Tokio(stream),
        }
    }
}

/// A listening socket of a worker, whose connections are [`Stream`]s.
#[derive(Debug)]
pub(crate) struct Acceptor(AsyncFd<std::net::TcpListener>);

impl Acceptor {
    /// Registers a listening socket, which must not block, with the current runtime.
    pub(crate) fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        register(listener, Interest::READABLE).map(Self)
    }

    /// The next connection.
    ///
    /// Cancel-safe: a connection that was accepted is returned.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Stream, SocketAddr)>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            if let Ok(accepted) = guard.try_io(|listener| accept(listener.get_ref())) {
                let (stream, peer) = accepted?;
                return Poll::Ready(Stream::from_std(stream).map(|stream| (stream, peer)));
            }
        }
    }
}

impl AsFd for Acceptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Registers a socket of the standard library with the current runtime.
#[expect(
    deprecated,
    reason = "deprecated for types that do not own their descriptor, as these do; what replaces it is unsafe code"
)]
fn register<T: AsRawFd + Into<OwnedFd>>(socket: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(socket, interest)
}

/// Accepts once, by one system call.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn accept(listener: &std::net::TcpListener) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    use rustix::io::retry_on_intr;
    use rustix::net::{SocketFlags, acceptfrom_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, peer) = retry_on_intr(|| acceptfrom_with(listener, flags))?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    let peer = peer.ok_or(io::ErrorKind::InvalidData)?;
    Ok((socket.into(), peer))
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn accept(listener: &std::net::TcpListener) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((stream, peer))
}
