//! Events of a machine's network.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// A part of this machine's network that comes and goes.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NetworkPart {
    /// An address of some interface. An IPv6 address is there when the kernel has found that no other machine uses it.
    Address(IpAddr),
    /// A default route for IPv4, in whichever table.
    DefaultRouteV4,
    /// A default route for IPv6.
    DefaultRouteV6,
    /// The link of the interface with this name. It is there while it is up and has a carrier.
    Link(Box<str>),
}

/// What happened to a part of the network.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NetworkEvent {
    /// It is there, and was not lost before: it is new since the watch began.
    Appeared(NetworkPart),
    /// It is gone.
    Lost(NetworkPart),
    /// It is there again.
    Returned {
        /// What returned.
        part: NetworkPart,
        /// How long ago its loss was seen.
        lost_for: Duration,
    },
}

impl fmt::Display for NetworkPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => write!(f, "address {ip}"),
            Self::DefaultRouteV4 => f.write_str("default route of IPv4"),
            Self::DefaultRouteV6 => f.write_str("default route of IPv6"),
            Self::Link(name) => write!(f, "link {}", lb_core::Escaped(name)),
        }
    }
}
