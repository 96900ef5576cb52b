//! Keeps sockets of other programs from binding to the address of a listener.
//!
//! The workers' sockets of one listener have `SO_REUSEPORT`, by which the kernel spreads connections. The kernel would let
//! any program of the same user join them. So a guard holds the address too: a socket that does not listen and has neither
//! `SO_REUSEPORT` nor `SO_REUSEADDR` once the workers' sockets are open. A socket that binds there later conflicts with
//! the guard.
//!
//! Linux skips that comparison for the address that was bound last with `SO_REUSEPORT` on a port (`fastreuseport` in
//! `inet_csk_get_port`). [`close_port`] therefore binds two addresses that no program serves, and closes them again.
//!
//! A reload that opens an address which overlaps with one that it closes relaxes the old sockets, so that both are open
//! for a moment. The kernel allows it for sockets of one user.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::sockets::ListenerSockets;

/// Closes `port` to sockets of other programs, except where a listener shares its address. `all` are all sockets of the
/// proxy on the port.
///
/// It works if one of two addresses without a service can be bound: not for a wildcard if the kernel lacks the other
/// family, or if another program has all addresses of that family.
pub(crate) fn close_port(port: u16, all: &[&ListenerSockets]) -> io::Result<()> {
    all.iter().try_for_each(|sockets| sockets.relax())?;
    // Addresses for documentation. The order does not matter: the kernel remembers one of them in the end.
    let unserved = [
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), port)),
        SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), port)),
    ];
    for addr in unserved {
        // One is enough, and a machine may lack a family.
        let _ = bind_unserved(addr);
    }
    all.iter().try_for_each(|sockets| sockets.tighten())
}

/// Binds an address that this machine does not have, for a moment.
fn bind_unserved(addr: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    socket.bind(&addr.into())
}
