//! The listening socket of a worker.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::stream::{Stream, register};

/// A listening socket, registered with the runtime of one worker.
#[derive(Debug)]
pub(crate) struct Acceptor(AsyncFd<std::net::TcpListener>);

impl Acceptor {
    /// Registers a non-blocking listening socket with the current runtime.
    pub(crate) fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        register(listener, Interest::READABLE).map(Self)
    }

    /// Accepts the next connection. Returns its socket and the peer's address.
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

/// Accepts a connection by one system call.
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
