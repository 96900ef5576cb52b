//! Addresses that this machine can listen on.

use std::cell::OnceCell;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::local_networks::LocalNetworks;

/// Probes addresses at one moment.
#[derive(Debug, Default)]
pub(super) struct Probe {
    local: OnceCell<LocalNetworks>,
}

impl Probe {
    /// Binds a socket to `addr` and closes it: it never listens, so no client notices.
    ///
    /// One address that cannot be listened on would fail the whole reload. The proxy's own sockets have `SO_REUSEADDR` or
    /// `SO_REUSEPORT`; an address that it listens on already must not be probed.
    ///
    /// # Errors
    ///
    /// What listening would fail with: the address is in use, or needs rights. `AddrNotAvailable`: it is not local to this
    /// machine. The listener of an IPv6 address could be opened even so, but would get no connection.
    pub(super) fn check(&self, addr: SocketAddr) -> io::Result<()> {
        match (bind(addr, false), addr) {
            (Err(error), SocketAddr::V6(addr))
                if error.kind() == io::ErrorKind::AddrNotAvailable
                    && self.local().contain(*addr.ip()) =>
            {
                bind(addr.into(), true)
            }
            (result, _) => result,
        }
    }

    fn local(&self) -> &LocalNetworks {
        self.local.get_or_init(LocalNetworks::read)
    }
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
