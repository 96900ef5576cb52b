//! Addresses that this machine can listen on.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// The device that local routes name.
const LOOPBACK: &[u8] = b"lo";

/// Binds a socket to `addr` and closes it: it never listens, so no client notices.
///
/// Of IPv6 the kernel binds listed addresses alone, whatever the routes say, unless the socket asks for more. Then it binds
/// every address, so the local route is looked for first.
///
/// One address that cannot be listened on would fail the whole reload. The proxy's own sockets have `SO_REUSEADDR` or
/// `SO_REUSEPORT`; an address that it listens on already must not be probed.
///
/// # Errors
///
/// What listening would fail with: the address is not one of this machine, is in use, or needs rights.
pub(super) fn probe(addr: SocketAddr) -> io::Result<()> {
    let bound = bind(addr, false);
    let is_unlisted =
        matches!(&bound, Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable);
    if is_unlisted && addr.is_ipv6() && is_routed_to_loopback(addr) {
        return bind(addr, true);
    }
    bound
}

fn bind(addr: SocketAddr, freebind: bool) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(freebind)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())
}

/// Whether a route leads from the loopback device to `addr`, as `ip route add local` makes one. Connecting a UDP socket looks for a
/// route and sends nothing.
fn is_routed_to_loopback(addr: SocketAddr) -> bool {
    let connect = || {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind_device(Some(LOOPBACK))?;
        socket.connect(&addr.into())
    };
    connect().is_ok()
}

/// What to do about an address that cannot be listened on.
pub(super) fn explain(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            "; make the address one of this machine's, as `ip route add local ADDRESS dev lo` does"
        }
        io::ErrorKind::AddrInUse => "; another program listens there",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => "",
    };
    format!("{error}{advice}")
}
