//! The families of IP addresses.

use std::net::IpAddr;

/// A family of IP addresses. IPv4 sorts first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[allow(clippy::exhaustive_enums, reason = "there is no third")]
pub enum IpFamily {
    /// IPv4.
    #[cfg_attr(feature = "serde", serde(rename = "ipv4"))]
    V4,
    /// IPv6.
    #[cfg_attr(feature = "serde", serde(rename = "ipv6"))]
    V6,
}

impl IpFamily {
    /// The family of `ip`. An IPv4-mapped IPv6 address is one of IPv6.
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}
