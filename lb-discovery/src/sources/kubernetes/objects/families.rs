//! The IP families that a source uses.

use crate::ip_family::IpFamily;

/// Which addresses are used where there are some of both IP families.
///
/// A dual-stack pod or node has one address of each family. Both lead to the same server, so only one becomes a backend:
/// two would double its share, and count its connections separately.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    pub(crate) const fn in_order(self) -> &'static [IpFamily] {
        match self {
            Self::Ipv4 => &[IpFamily::V4],
            Self::Ipv6 => &[IpFamily::V6],
            Self::PreferIpv4 => &[IpFamily::V4, IpFamily::V6],
            Self::PreferIpv6 => &[IpFamily::V6, IpFamily::V4],
        }
    }
}

/// Parses the API's word: an EndpointSlice's `addressType`, a Service's `ipFamilies`. `None` for `FQDN`.
pub(crate) fn parse_family(text: &str) -> Option<IpFamily> {
    match text {
        "IPv4" => Some(IpFamily::V4),
        "IPv6" => Some(IpFamily::V6),
        _ => None,
    }
}
