//! Opening the sockets of a listener.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How a socket is to listen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listening {
    pub(super) addr: SocketAddr,
    pub(super) backlog: u32,
    pub(super) ipv6_only: bool,
    pub(super) reuse_port: bool,
}

impl Listening {
    /// Opens `count` sockets on one address, between which the kernel spreads connections.
    ///
    /// The first binds alone unless the address may be shared with others: that tells if somebody else listens there.
    pub(super) fn open(mut self, count: usize) -> io::Result<Vec<TcpListener>> {
        let first = self.bind(self.reuse_port)?;
        if count > 1 {
            first.set_reuse_port(true)?;
        }
        self.listen(&first)?;
        let mut sockets = vec![TcpListener::from(first)];
        // Where the kernel was to choose the port, it has done so.
        self.addr = sockets[0].local_addr()?;
        for _ in 1..count {
            let socket = self.bind(true)?;
            self.listen(&socket)?;
            sockets.push(socket.into());
        }
        Ok(sockets)
    }

    fn bind(&self, reuse_port: bool) -> io::Result<Socket> {
        let domain = Domain::for_address(self.addr);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        if self.addr.is_ipv6() {
            socket.set_only_v6(self.ipv6_only)?;
        }
        if reuse_port {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&self.addr.into())?;
        Ok(socket)
    }

    pub(super) fn listen(&self, socket: &Socket) -> io::Result<()> {
        socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))
    }
}

/// The socket for each of `count` workers: they share the one there is.
pub(super) fn share(socket: TcpListener, count: usize) -> io::Result<Vec<TcpListener>> {
    let mut sockets = vec![socket];
    while sockets.len() < count {
        sockets.push(sockets[0].try_clone()?);
    }
    Ok(sockets)
}

/// Applies options that accepted connections inherit.
pub(super) fn hand_down(
    sockets: &[TcpListener],
    options: &crate::socket::SocketOptions,
) -> io::Result<()> {
    let mut sockets = sockets.iter();
    sockets.try_for_each(|socket| options.apply(&SockRef::from(socket)))
}
