//! Tests whether a port answers: a TCP handshake that ends as soon as the peer has answered.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::net::connect_unspec;
use socket2::Socket;
use tokio::io::Interest;

use super::bind_source::{BindSource, connect_again};
use super::connect::{AttemptStep, ConnectError, classify};
use super::options::SocketOptions;
use super::stream::register;

/// Sockets that are not connected, for the next handshakes. A clone shares them.
///
/// To open a socket, to set it up and to close it costs the kernel a quarter of a handshake on loopback.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdleSockets(Arc<Mutex<Vec<IdleSocket>>>);

#[derive(Debug)]
struct IdleSocket {
    socket: Socket,
    is_ipv4: bool,
}

impl IdleSockets {
    /// How many sockets are kept at most.
    pub(crate) const KEPT: usize = 16;

    fn take(&self, is_ipv4: bool) -> Option<Socket> {
        let mut idle = self.lock();
        let at = idle.iter().rposition(|idle| idle.is_ipv4 == is_ipv4)?;
        Some(idle.swap_remove(at).socket)
    }

    fn put(&self, socket: Socket, is_ipv4: bool) {
        let mut idle = self.lock();
        if idle.len() < Self::KEPT {
            idle.push(IdleSocket { socket, is_ipv4 });
        }
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Vec<IdleSocket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins to connect to `to`, waits for the answer, and resets the connection.
///
/// A peer on this machine has answered when connect(2) returns, so that the runtime has nothing to wait for. The socket is one of
/// `idle`, if the kernel chooses the source address: a socket keeps the address that it was bound to.
pub(crate) async fn shake_hands(
    to: SocketAddr,
    source: &BindSource,
    idle: &IdleSockets,
) -> Result<(), ConnectError> {
    let to = SocketAddr::new(to.ip().to_canonical(), to.port());
    let begun = begin(to, source, idle);
    let socket = begun.map_err(|error| classify(error, AttemptStep::Start))?;
    let answered = answer(socket, to).await;
    let socket = answered.map_err(|error| classify(error, AttemptStep::Answer))?;
    if source.may_connect_to_itself(to) && is_connected_to_itself(&socket, to) {
        let refused = Errno::CONNREFUSED.into();
        return Err(classify(refused, AttemptStep::Answer));
    }
    // The kernel resets the connection. It does so as well when the socket is closed.
    if source.is_any() && connect_unspec(&socket).is_ok() {
        idle.put(socket, to.is_ipv4());
    }
    Ok(())
}

fn begin(to: SocketAddr, source: &BindSource, idle: &IdleSockets) -> io::Result<Socket> {
    if source.is_any()
        && let Some(socket) = idle.take(to.is_ipv4())
        && connect_again(&socket, to).is_ok()
    {
        return Ok(socket);
    }
    source.connect(to, &SocketOptions::handshake_only())
}

/// Waits until the handshake has an end. Returns the connected socket.
async fn answer(socket: Socket, to: SocketAddr) -> io::Result<Socket> {
    if let Some(end) = end_of_handshake(&socket, to) {
        return end.map(|()| socket);
    }
    let registered = register(socket, Interest::WRITABLE)?;
    loop {
        let mut ready = registered.writable().await?;
        if let Some(end) = end_of_handshake(registered.get_ref(), to) {
            drop(ready);
            return end.map(|()| registered.into_inner());
        }
        ready.clear_ready();
    }
}

/// How the handshake ended, if it has. A second connect(2) says so.
fn end_of_handshake(socket: &Socket, to: SocketAddr) -> Option<io::Result<()>> {
    match socket.connect(&to.into()) {
        Ok(()) => Some(Ok(())),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::ALREADY | Errno::INPROGRESS) => None,
            Some(Errno::ISCONN) => Some(Ok(())),
            _ => Some(Err(error)),
        },
    }
}

/// Whether both ends are one socket: [`connect`](super::connect::connect) has the reason.
fn is_connected_to_itself(socket: &Socket, to: SocketAddr) -> bool {
    let local = socket.local_addr().ok().and_then(|local| local.as_socket());
    local.is_some_and(|local| (local.ip(), local.port()) == (to.ip(), to.port()))
}

#[cfg(test)]
mod tests;
