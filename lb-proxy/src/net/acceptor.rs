//! The listening socket of a worker.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::stream::{Stream, Transport, register};
use super::unix;

/// A listening socket, registered with the runtime of one worker.
#[derive(Debug)]
pub(crate) struct Acceptor {
    socket: AsyncFd<OwnedFd>,
    transport: Transport,
}

/// A connection, and the peer's address, or for a unix socket the peer's [key](unix::peer_key).
pub(crate) type Accepted = (Stream, SocketAddr);

impl Acceptor {
    /// Registers a non-blocking listening socket with the current runtime.
    pub(crate) fn new(socket: OwnedFd, transport: Transport) -> io::Result<Self> {
        Ok(Self {
            socket: register(socket, Interest::READABLE)?,
            transport,
        })
    }

    /// Accepts the next connection.
    ///
    /// Cancel-safe: no accepted connection is lost.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        loop {
            // Only "would block" clears the readiness.
            let _ = ready!(self.socket.poll_read_ready(cx))?;
            if let Some(accepted) = self.accept_now() {
                return Poll::Ready(accepted);
            }
        }
    }

    /// Accepts a connection that is in the kernel's queue.
    pub(crate) fn accept_now(&self) -> Option<io::Result<Accepted>> {
        let is_unix = self.transport == Transport::Unix;
        let accepted = self
            .socket
            .try_io(Interest::READABLE, |socket| accept(socket, is_unix));
        let accepted = accepted.and_then(|(socket, peer)| {
            let stream = Stream::new(socket, self.transport)?;
            Ok((stream, peer))
        });
        match accepted {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            accepted => Some(accepted),
        }
    }
}

impl AsFd for Acceptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Accepts a connection by one system call.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn accept(listener: &OwnedFd, is_unix: bool) -> io::Result<(OwnedFd, SocketAddr)> {
    use rustix::io::retry_on_intr;
    use rustix::net::{SocketAddrUnix, SocketFlags, acceptfrom_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, peer) = retry_on_intr(|| acceptfrom_with(listener, flags))?;
    if is_unix {
        let peer = peer.and_then(|peer| SocketAddrUnix::try_from(peer).ok());
        let name = peer.as_ref().and_then(SocketAddrUnix::abstract_name);
        return Ok((socket, unix::peer_key(name)));
    }
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    let peer = peer.ok_or(io::ErrorKind::InvalidData)?;
    Ok((socket, peer))
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn accept(listener: &OwnedFd, is_unix: bool) -> io::Result<(OwnedFd, SocketAddr)> {
    let (socket, peer) = socket2::SockRef::from(listener).accept()?;
    socket.set_nonblocking(true)?;
    if is_unix {
        return Ok((socket.into(), unix::peer_key(None)));
    }
    let peer = peer.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    Ok((socket.into(), peer))
}
