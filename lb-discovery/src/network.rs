//! Blocks of IP addresses (CIDR).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// A block of IP addresses, written `10.0.0.0/8` or `2001:db8::/32`. A single address is a block of one.
///
/// A block inside `::ffff:0:0/96` is the IPv4 block that it maps: `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Network(IpNet);

impl Network {
    /// The block of the first `prefix` bits of `ip`. The other bits of `ip` are ignored.
    ///
    /// `None` if the address has fewer than `prefix` bits.
    pub fn new(ip: IpAddr, prefix: u8) -> Option<Self> {
        IpNet::new(ip, prefix).ok().map(Self::canonical)
    }

    /// Whether `ip` is in the block. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }

    /// Whether `ip` is in the block. An IPv4-mapped IPv6 address counts as IPv6.
    pub fn contains_as_is(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip)
    }

    /// Whether it is a block of IPv4 addresses.
    pub const fn is_ipv4(&self) -> bool {
        matches!(self.0, IpNet::V4(_))
    }

    /// The shortest list of blocks that contains the same addresses.
    pub fn aggregate(networks: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let networks = networks.into_iter().map(|network| network.0);
        let aggregated = IpNet::aggregate(&networks.collect());
        aggregated.into_iter().map(Self::canonical).collect()
    }

    /// Every constructor calls this: clients are compared in canonical form, so blocks must have it too.
    fn canonical(net: IpNet) -> Self {
        let net = net.trunc();
        let mapped = match net.addr() {
            IpAddr::V6(ip) => ip.to_ipv4_mapped(),
            IpAddr::V4(_) => None,
        };
        let prefix = net.prefix_len().checked_sub(96);
        let ipv4 = mapped
            .zip(prefix)
            .and_then(|(ip, prefix)| Ipv4Net::new(ip, prefix).ok());
        Self(ipv4.map_or(net, IpNet::V4))
    }
}

impl From<IpAddr> for Network {
    fn from(ip: IpAddr) -> Self {
        Self::canonical(ip.into())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let network = text.parse().map(Self::canonical);
        network
            .or_else(|_| text.parse().map(IpAddr::into))
            .map_err(|_| NetworkError {
                text: text.to_owned(),
            })
    }
}

/// As text.
#[cfg(feature = "serde")]
impl serde::Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Network {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "An IP address, or a block of them such as 10.0.0.0/8.",
            "type": "string",
        })
    }
}

/// A text that is not a block of addresses.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("\"{text}\" is neither an IP address nor a block such as 10.0.0.0/8")]
pub struct NetworkError {
    /// The text that was parsed.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_bits_behind_the_prefix_are_ignored() {
        assert_eq!(network("10.1.2.3/8"), network("10.0.0.0/8"));
        assert_eq!(network("10.1.2.3").to_string(), "10.1.2.3/32");
        assert_eq!(Network::new(ip("10.1.2.3"), 33), None);
        let error = "10.0.0.0/33".parse::<Network>().unwrap_err();
        assert!(error.to_string().contains("\"10.0.0.0/33\""), "{error}");
    }

    #[test]
    fn every_constructor_turns_an_ipv4_mapped_network_into_the_ipv4_network() {
        for (text, canonical) in [
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:192.0.2.77/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).to_string(), canonical, "{text}");
        }
        assert_eq!(Network::from(ip("::ffff:192.0.2.1")), network("192.0.2.1"));
        assert_eq!(
            Network::new(ip("::ffff:192.0.2.1"), 104),
            Some(network("192.0.0.0/8"))
        );
        assert!(network("::ffff:192.0.2.0/120").contains(ip("192.0.2.9")));
        assert!(network("::ffff:192.0.2.0/120").contains(ip("::ffff:192.0.2.9")));
        assert!(!network("::/0").contains(ip("::ffff:192.0.2.9")));
    }
}
