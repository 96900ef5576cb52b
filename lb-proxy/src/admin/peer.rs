//! The other end of an admin connection.

use std::fmt;
use std::net::SocketAddr;

/// The other end of an admin connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AdminPeer {
    /// A client over TCP.
    Tcp(SocketAddr),
    /// A process on this machine, with the credentials that it had when it connected.
    Unix {
        uid: u32,
        pid: i32,
        /// The group of the socket when it connected. `None` without one, and for root and the user of this process, which
        /// need none.
        group: Option<u32>,
    },
}

impl fmt::Display for AdminPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix { uid, pid, .. } => write!(f, "uid {uid} (pid {pid})"),
        }
    }
}
