//! The socket of a connection, registered with the runtime.
//!
//! tokio's own `TcpStream` does not report urgent data (`MSG_OOB`). Reads and splice(2) stop in front of an urgent byte
//! as if the socket were drained. [`Stream`] registers for urgent data as well, which costs no system call.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

/// Ready when the kernel holds an urgent byte. On systems that do not report that, any readable socket may hold one.
#[cfg(any(target_os = "android", target_os = "linux"))]
const URGENT: Interest = Interest::PRIORITY;
#[cfg(not(any(target_os = "android", target_os = "linux")))]
const URGENT: Interest = Interest::READABLE;

/// The events that a [`Stream`] is registered for.
const EVENTS: Interest = Interest::READABLE.add(Interest::WRITABLE).add(URGENT);

/// The socket of a connection. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: RegisteredSocket,
}

/// What carries the bytes of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transport {
    /// Multipath TCP, or TCP on a socket of multipath TCP.
    Multipath,
    Tcp,
    Unix,
}

/// A socket and its registration.
#[derive(Debug)]
enum RegisteredSocket {
    /// A socket of multipath TCP, registered for [`EVENTS`].
    Multipath(AsyncFd<OwnedFd>),
    /// Registered for [`EVENTS`].
    Own(AsyncFd<OwnedFd>),
    /// Registered by tokio, not for urgent data.
    Tokio(tokio::net::TcpStream),
    /// A unix socket, registered for [`EVENTS`]. It may have an urgent byte as well.
    Unix(AsyncFd<OwnedFd>),
}

impl Stream {
    /// Registers a non-blocking socket with the current runtime.
    pub(crate) fn new(socket: OwnedFd, transport: Transport) -> io::Result<Self> {
        let fd = register(socket, EVENTS)?;
        let socket = match transport {
            Transport::Multipath => RegisteredSocket::Multipath(fd),
            Transport::Tcp => RegisteredSocket::Own(fd),
            Transport::Unix => RegisteredSocket::Unix(fd),
        };
        Ok(Self { socket })
    }

    pub(crate) const fn is_multipath(&self) -> bool {
        matches!(self.socket, RegisteredSocket::Multipath(_))
    }

    pub(crate) const fn is_unix(&self) -> bool {
        matches!(self.socket, RegisteredSocket::Unix(_))
    }

    /// Waits until one of the events in `interest` is ready. Cancel-safe.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match &self.socket {
            RegisteredSocket::Multipath(fd)
            | RegisteredSocket::Own(fd)
            | RegisteredSocket::Unix(fd) => Ok(fd.ready(interest).await?.ready()),
            RegisteredSocket::Tokio(stream) => stream.ready(interest).await,
        }
    }

    /// Completes when a connection that was begun has succeeded, with true, or failed. The error is still to be asked for.
    pub(crate) fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match &self.socket {
            // A failure ends both sides of the socket. A socket that is writable without one is connected. Asking the kernel
            // would cost another system call.
            RegisteredSocket::Multipath(fd)
            | RegisteredSocket::Own(fd)
            | RegisteredSocket::Unix(fd) => {
                let ready = ready!(fd.poll_write_ready(cx))?.ready();
                Poll::Ready(Ok(!ready.is_write_closed()))
            }
            // tokio has connected it.
            RegisteredSocket::Tokio(_) => Poll::Ready(Ok(true)),
        }
    }

    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            RegisteredSocket::Multipath(fd)
            | RegisteredSocket::Own(fd)
            | RegisteredSocket::Unix(fd) => fd.poll_read_ready(cx).map_ok(drop),
            RegisteredSocket::Tokio(stream) => stream.poll_read_ready(cx),
        }
    }

    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            RegisteredSocket::Multipath(fd)
            | RegisteredSocket::Own(fd)
            | RegisteredSocket::Unix(fd) => fd.poll_write_ready(cx).map_ok(drop),
            RegisteredSocket::Tokio(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Calls `read` if the socket is ready for reading. "Would block" clears the readiness.
    pub(crate) fn try_read<R>(&self, read: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match &self.socket {
            // Clears the readiness for urgent data as well, unless more has arrived meanwhile.
            RegisteredSocket::Multipath(fd)
            | RegisteredSocket::Own(fd)
            | RegisteredSocket::Unix(fd)
                if self.may_be_urgent() =>
            {
                fd.try_io(URGENT, |_| fd.try_io(Interest::READABLE, |_| read()))
            }
            RegisteredSocket::Multipath(fd)
            | RegisteredSocket::Own(fd)
            | RegisteredSocket::Unix(fd) => fd.try_io(Interest::READABLE, |_| read()),
            RegisteredSocket::Tokio(stream) => stream.try_io(Interest::READABLE, read),
        }
    }

    /// Calls `write` if the socket is ready for writing. "Would block" clears the readiness.
    pub(crate) fn try_write<R>(&self, write: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match &self.socket {
            RegisteredSocket::Multipath(fd)
            | RegisteredSocket::Own(fd)
            | RegisteredSocket::Unix(fd) => fd.try_io(Interest::WRITABLE, |_| write()),
            RegisteredSocket::Tokio(stream) => stream.try_io(Interest::WRITABLE, write),
        }
    }

    /// Whether a read may have stopped in front of an urgent byte, although bytes follow that byte. False positives are
    /// allowed, false negatives are not: an urgent byte that arrives later makes the socket readable again.
    pub(crate) fn may_be_urgent(&self) -> bool {
        match &self.socket {
            RegisteredSocket::Multipath(fd)
            | RegisteredSocket::Own(fd)
            | RegisteredSocket::Unix(fd) => fd.try_io(URGENT, |_| Ok(())).is_ok(),
            RegisteredSocket::Tokio(_) => true,
        }
    }

    /// The address of this end of a TCP socket.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        let addr = SockRef::from(self).local_addr()?.as_socket();
        addr.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// The path that the other end of a unix socket is bound to, if it has one.
    pub(crate) fn peer_path(&self) -> Option<Arc<Path>> {
        if !self.is_unix() {
            return None;
        }
        let addr = SockRef::from(self).peer_addr().ok()?;
        addr.as_pathname().map(Arc::from)
    }

    /// The address of the other end of a TCP socket.
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        let addr = SockRef::from(self).peer_addr()?.as_socket();
        addr.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            RegisteredSocket::Multipath(fd)
            | RegisteredSocket::Own(fd)
            | RegisteredSocket::Unix(fd) => fd.as_fd(),
            RegisteredSocket::Tokio(stream) => stream.as_fd(),
        }
    }
}

impl From<tokio::net::TcpStream> for Stream {
    fn from(stream: tokio::net::TcpStream) -> Self {
        Self {
            socket: RegisteredSocket::Tokio(stream),
        }
    }
}

/// Registers a socket of the standard library with the current runtime.
#[expect(
    deprecated,
    reason = "deprecated because of types that do not own their descriptor, which these do; the replacement is unsafe code"
)]
pub(crate) fn register<T: AsRawFd + Into<OwnedFd>>(
    socket: T,
    interest: Interest,
) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(socket, interest)
}
