//! Sockets that do not block.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::sockopt::{IpBindAddressNoPort, SetStruct};
use nix::{libc, setsockopt_impl};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_reuseaddr, set_socket_reuseport, set_tcp_nodelay};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// The addresses that clients connect from, so that their ports do not run out.
const CLIENTS: u8 = 200;

#[derive(Clone, Copy, Debug)]
struct LocalPortRange;

/// Of linux/in.h.
const IP_LOCAL_PORT_RANGE: libc::c_int = 51;

setsockopt_impl!(
    LocalPortRange,
    libc::IPPROTO_IP,
    IP_LOCAL_PORT_RANGE,
    u32,
    SetStruct<'_, u32>
);

/// The addresses of clients, in turn.
#[derive(Debug, Default)]
pub(crate) struct ClientAddrs(u8);

impl ClientAddrs {
    fn next(&mut self) -> Ipv4Addr {
        self.0 = (self.0 + 1) % CLIENTS;
        Ipv4Addr::new(127, 0, 1, self.0 + 1)
    }

    /// Begins to connect.
    pub(crate) fn connect(&mut self, to: SocketAddrV4) -> io::Result<OwnedFd> {
        let socket = tcp()?;
        set_tcp_nodelay(&socket, true)?;
        nix::sys::socket::setsockopt(&socket, IpBindAddressNoPort, &true)?;
        net::bind(&socket, &SocketAddrV4::new(self.next(), 0))?;
        begin(socket, to)
    }
}

fn tcp() -> io::Result<OwnedFd> {
    let kind = SocketType::STREAM;
    Ok(net::socket_with(AddressFamily::INET, kind, FLAGS, None)?)
}

fn begin(socket: OwnedFd, to: SocketAddrV4) -> io::Result<OwnedFd> {
    match net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// Begins to connect from an address of the kernel's choice, with `TCP_NODELAY`.
pub(crate) fn connect(to: SocketAddrV4) -> io::Result<OwnedFd> {
    let socket = tcp()?;
    set_tcp_nodelay(&socket, true)?;
    begin(socket, to)
}

/// Begins to connect from this port, which the kernel sees as its own choice: one that a program has bound is passed over by later
/// searches, which would change what they cost.
pub(crate) fn connect_from(from: SocketAddrV4, to: SocketAddrV4) -> io::Result<OwnedFd> {
    let socket = tcp()?;
    let port = u32::from(from.port());
    nix::sys::socket::setsockopt(&socket, LocalPortRange, &(port << 16 | port))?;
    nix::sys::socket::setsockopt(&socket, IpBindAddressNoPort, &true)?;
    net::bind(&socket, &SocketAddrV4::new(*from.ip(), 0))?;
    begin(socket, to)
}

/// Listens. Several processes may listen on one address.
pub(crate) fn listen(addr: SocketAddrV4) -> io::Result<OwnedFd> {
    let socket = tcp()?;
    set_socket_reuseaddr(&socket, true)?;
    set_socket_reuseport(&socket, true)?;
    // Accepted sockets inherit it.
    set_tcp_nodelay(&socket, true)?;
    net::bind(&socket, &addr)?;
    net::listen(&socket, 8192)?;
    Ok(socket)
}

/// The next connection, if there is one.
pub(crate) fn accept(listener: impl AsFd) -> Option<OwnedFd> {
    net::accept_with(listener, FLAGS).ok()
}

/// What a transfer did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transfer {
    Moved(usize),
    /// The socket has to become ready first.
    Blocked,
    Ended,
}

pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Transfer {
    match net::recv(socket, buffer, net::RecvFlags::empty()) {
        Ok((0, _)) => Transfer::Ended,
        Ok((len, _)) => Transfer::Moved(len),
        Err(Errno::AGAIN) => Transfer::Blocked,
        Err(_) => Transfer::Ended,
    }
}

pub(crate) fn send(socket: impl AsFd, bytes: &[u8]) -> Transfer {
    match net::send(socket, bytes, net::SendFlags::NOSIGNAL) {
        Ok(len) => Transfer::Moved(len),
        Err(Errno::AGAIN) => Transfer::Blocked,
        Err(_) => Transfer::Ended,
    }
}
