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

impl Acceptor {
    /// Registers a non-blocking listening socket with the current runtime.
    pub(crate) fn new(socket: OwnedFd, transport: Transport) -> io::Result<Self> {
        Ok(Self {
            socket: register(socket, Interest::READABLE)?,
            transport,
        })
    }

    /// Accepts the next connection. Returns its socket and the peer's address, or for a unix socket the peer's
    /// [key](unix::peer_key).
    ///
    /// Cancel-safe: no accepted connection is lost.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Stream, SocketAddr)>> {
        loop {
            let mut guard = ready!(self.socket.poll_read_ready(cx))?;
            let Ok(accepted) =
                guard.try_io(|socket| accept(socket.get_ref(), self.transport == Transport::Unix))
            else {
                continue;
            };
            let (socket, peer) = accepted?;
            let stream = Stream::new(socket, self.transport);
            return Poll::Ready(stream.map(|stream| (stream, peer)));
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
