//! Addresses that this machine can listen on.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// Binds a socket to `addr` and closes it: it never listens, so no client notices.
///
/// One address that cannot be listened on would fail the whole reload. The proxy's own sockets have `SO_REUSEADDR` or
/// `SO_REUSEPORT`; an address that it listens on already must not be probed.
///
/// # Errors
///
/// What listening would fail with: the address is not one of this machine, is in use, or needs rights.
pub(super) fn probe(addr: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())
}

/// What to do about an address that cannot be listened on.
pub(super) fn explain(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            "; make the address one of this machine's, as `ip route add local ADDRESS dev lo` does, for IPv6 with `sysctl net.ipv6.ip_nonlocal_bind=1` besides"
        }
        io::ErrorKind::AddrInUse => "; another program listens there",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => "",
    };
    format!("{error}{advice}")
}
