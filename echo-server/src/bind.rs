//! Listens on both IP families, with errors that name the fix.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that may wait to be accepted. The kernel's own default limit, `net.core.somaxconn`, caps it.
const BACKLOG: i32 = 4096;

/// Listens on `port` of every address, IPv6 and IPv4, through one dual-stack socket.
///
/// On a machine without IPv6 it listens on IPv4 alone. Port 0 lets the kernel choose;
/// [`TcpListener::local_addr`] returns its choice.
///
/// # Errors
///
/// The system's error. For a privileged port and for a port in use the message has advice.
///
/// # Panics
///
/// Outside a Tokio runtime with IO enabled.
pub fn listen(port: u16) -> Result<TcpListener, ListenError> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    match open(any, Families::Both) {
        Err(error) if lacks_ipv6(&error) => listen_on((Ipv4Addr::UNSPECIFIED, port).into()),
        opened => opened.map_err(|source| ListenError { addr: any, source }),
    }
}

/// Listens on `addr` alone: `[::]` is every IPv6 address, but no IPv4 one.
///
/// # Errors
///
/// As for [`listen`], and if no interface has the address.
///
/// # Panics
///
/// Outside a Tokio runtime with IO enabled.
pub fn listen_on(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    open(addr, Families::One).map_err(|source| ListenError { addr, source })
}

/// A server cannot listen: the address, the system's error, and advice.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}{}", Advice { addr, error: source })]
pub struct ListenError {
    addr: SocketAddr,
    source: io::Error,
}

impl ListenError {
    /// The address that the system refused.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The kind of the system's error.
    pub fn kind(&self) -> ErrorKind {
        self.source.kind()
    }
}

struct Advice<'a> {
    addr: &'a SocketAddr,
    error: &'a io::Error,
}

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.addr.port();
        match self.error.kind() {
            ErrorKind::PermissionDenied => f.write_str(
                "; low ports are privileged: run as root, grant CAP_NET_BIND_SERVICE, lower the sysctl \
                 net.ipv4.ip_unprivileged_port_start, or choose a port above 1023",
            ),
            ErrorKind::AddrInUse => write!(
                f,
                "; port {port} is taken: choose another as the PORT argument (0 lets the system choose), \
                 or stop its owner, which `ss -ltnp 'sport = :{port}'` shows"
            ),
            ErrorKind::AddrNotAvailable => f.write_str("; no interface of this machine has the address"),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Families {
    Both,
    One,
}

fn open(addr: SocketAddr, families: Families) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // Set always, so that net.ipv6.bindv6only has no effect.
        socket.set_only_v6(families == Families::One)?;
    }
    // Without it a restart would wait until old connections have left TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(errno: Errno) -> String {
        ListenError {
            addr: "[::]:446".parse().unwrap(),
            source: errno.into(),
        }
        .to_string()
    }

    #[test]
    fn a_privileged_port_gets_every_advice() {
        let message = message(Errno::ACCESS);
        assert!(message.starts_with("cannot listen on [::]:446: Permission denied"));
        for way in [
            "root",
            "CAP_NET_BIND_SERVICE",
            "net.ipv4.ip_unprivileged_port_start",
            "above 1023",
        ] {
            assert!(message.contains(way), "{way} is not in {message}");
        }
    }

    #[test]
    fn a_taken_port_is_named() {
        let message = message(Errno::ADDRINUSE);
        assert!(
            message.contains("port 446 is taken: choose another"),
            "{message}"
        );
    }

    #[test]
    fn other_errors_stand_alone() {
        let message = message(Errno::NOBUFS);
        assert_eq!(
            message,
            format!(
                "cannot listen on [::]:446: {}",
                io::Error::from(Errno::NOBUFS)
            )
        );
    }

    #[test]
    fn only_the_lack_of_ipv6_has_a_fallback() {
        assert!(lacks_ipv6(&Errno::AFNOSUPPORT.into()));
        assert!(lacks_ipv6(&Errno::ADDRNOTAVAIL.into()));
        assert!(!lacks_ipv6(&Errno::ACCESS.into()));
        assert!(!lacks_ipv6(&Errno::ADDRINUSE.into()));
    }
}
