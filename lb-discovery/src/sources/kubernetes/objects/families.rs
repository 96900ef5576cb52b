//! IPv4 or IPv6.

use std::net::IpAddr;

/// Which addresses are used where there are some of both families.
///
/// A dual-stack pod or node has one address of each. They are the same server, so only one of them becomes a backend:
/// both would give it twice its share, and a count of its own to each.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Families {
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
    /// IPv4, and IPv6 where there is no IPv4.
    #[default]
    PreferIpv4,
    /// IPv6, and IPv4 where there is no IPv6.
    PreferIpv6,
}

impl Families {
    /// The families that may be used, the preferred one first.
    pub(crate) const fn in_order(self) -> &'static [Family] {
        match self {
            Self::Ipv4 => &[Family::V4],
            Self::Ipv6 => &[Family::V6],
            Self::PreferIpv4 => &[Family::V4, Family::V6],
            Self::PreferIpv6 => &[Family::V6, Family::V4],
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The API's word: an EndpointSlice's `addressType`, a Service's `ipFamilies`. `None` for `FQDN`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "IPv4" => Some(Self::V4),
            "IPv6" => Some(Self::V6),
            _ => None,
        }
    }
}
