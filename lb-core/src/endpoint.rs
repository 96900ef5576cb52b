//! An end of a connection: an IP address and a port, or the path of a unix socket.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::sync::Arc;

use crate::hash::xxh64;

/// The flow information of every key: "unix". A flow label has 20 bits and a traffic class 8, so no address of a network
/// has this value.
const MARK: u32 = u32::from_be_bytes(*b"unix");

/// An IP address and a port, or the path of a unix socket.
///
/// All that is known by address (state, tried backends, drains, counts) knows a unix socket by its [`key`](Self::key).
#[derive(Clone, Eq, Hash, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "a TCP endpoint is one of the two")]
pub enum Endpoint {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a unix socket. Empty for a client, which has no path.
    Unix(Arc<Path>),
}

impl Endpoint {
    /// The end of a unix socket that has no path, as clients have.
    pub fn unnamed() -> Self {
        Self::Unix(Arc::from(Path::new("")))
    }

    /// The address that stands for this endpoint where endpoints are known by address: an IP address itself, or the
    /// [key](Self::unix_key) of a path.
    pub fn key(&self) -> SocketAddr {
        match self {
            Self::Tcp(addr) => *addr,
            Self::Unix(path) => Self::unix_key(path),
        }
    }

    /// The key of the unix socket at `path`, which no socket can be bound or connected to.
    ///
    /// It holds 120 bits of two XXH64 of the path, so it is the same in every process, and two paths share one with
    /// probability 2^-120 unless they were made to. The empty path has the key of [`unnamed`](Self::unnamed) ends.
    pub fn unix_key(path: &Path) -> SocketAddr {
        let bytes = path.as_os_str().as_encoded_bytes();
        let mut ip = Ipv6Addr::UNSPECIFIED;
        if !bytes.is_empty() {
            let halves = [xxh64(bytes, 1), xxh64(bytes, 2)].map(u64::to_be_bytes);
            let mut octets = [0; 16];
            octets.copy_from_slice(halves.as_flattened());
            // Of no use in networks, and neither unspecified nor an IPv4-mapped address.
            octets[0] = 0xfc;
            ip = octets.into();
        }
        SocketAddrV6::new(ip, 0, MARK, 0).into()
    }

    /// Whether `addr` is the key of a unix socket.
    pub const fn is_unix_key(addr: SocketAddr) -> bool {
        matches!(addr, SocketAddr::V6(addr) if addr.flowinfo() == MARK)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr)
    }
}

impl PartialEq<SocketAddr> for Endpoint {
    /// Whether `addr` is the [`key`](Self::key) of this endpoint.
    fn eq(&self, addr: &SocketAddr) -> bool {
        self.key() == *addr
    }
}

/// As in nginx: `192.0.2.1:446`, `unix:/run/echo.sock`. Control characters of a path are escaped.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => {
                f.write_str("unix:")?;
                crate::escaped::Escaped(path.display()).fmt(f)
            }
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_paths_differ_from_each_other_and_from_addresses() {
        let paths = ["/a", "/b", "a", "/a/", "/run/echo.sock", ""];
        let keys = paths.map(|path| Endpoint::unix_key(Path::new(path)));
        for (i, key) in keys.iter().enumerate() {
            assert!(Endpoint::is_unix_key(*key));
            assert!(!keys[..i].contains(key), "{}", paths[i]);
            let SocketAddr::V6(key) = key else {
                panic!("{key}");
            };
            let same_ip = SocketAddr::from((*key.ip(), key.port()));
            assert!(!Endpoint::is_unix_key(same_ip) && same_ip != SocketAddr::V6(*key));
        }
        // Replicas that run different builds must agree.
        assert_eq!(
            keys[4].ip().to_string(),
            "fca3:2dc8:84e7:6ca1:2aee:ab77:57ed:9036"
        );
        for text in ["127.0.0.1:446", "[::1]:446", "[fc00::1%7]:0"] {
            assert!(!Endpoint::is_unix_key(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_endpoint_is_shown_as_in_nginx() {
        let unix = Endpoint::Unix(Path::new("/run/a\n.sock").into());
        assert_eq!(unix.to_string(), "unix:/run/a\\n.sock");
        assert_eq!(format!("{:?}", Endpoint::unnamed()), "unix:");
        let addr: SocketAddr = "[::1]:446".parse().unwrap();
        assert_eq!(Endpoint::from(addr).to_string(), "[::1]:446");
        assert_eq!(Endpoint::from(addr), addr);
    }
}
