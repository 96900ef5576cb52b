//! Which addresses may connect.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A block of IP addresses, written `10.0.0.0/8` or `2001:db8::/32`. An address alone is a block of one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Network(pub(crate) IpNet);

impl Network {
    /// The block of the first `prefix` bits of `ip`; what follows them in `ip` is ignored. `None` if the address has
    /// fewer bits.
    pub fn new(ip: IpAddr, prefix: u8) -> Option<Self> {
        IpNet::new(ip, prefix).ok().map(|net| Self(net.trunc()))
    }

    /// Whether `ip` is in the block. An IPv4 address that is mapped into IPv6 counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }
}

impl From<IpAddr> for Network {
    fn from(ip: IpAddr) -> Self {
        Self(ip.into())
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
        let network = text.parse().map(|net: IpNet| Self(net.trunc()));
        network
            .or_else(|_| text.parse().map(IpAddr::into))
            .map_err(|_| NetworkError {
                text: text.to_owned(),
            })
    }
}

/// A text that is no block of addresses.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("\"{text}\" is neither an IP address nor a block of them such as 10.0.0.0/8")]
pub struct NetworkError {
    /// The text.
    pub text: String,
}

/// Rules about addresses, of which the first that fits decides. Without a fitting rule the address is admitted, as in
/// nginx: end with a `deny` of everything to admit only who is listed.
///
/// A look costs a few nanoseconds for each rule that does not fit.
#[doc(alias = "allow", alias = "deny")]
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Access {
    rules: Vec<(Network, bool)>,
}

impl Access {
    /// Admits everybody.
    pub const fn new() -> Self {
        Self { rules: Vec::new() }
    }

    /// Adds a rule that admits `network`.
    pub fn allow(self, network: impl Into<Network>) -> Self {
        self.rule(network.into(), true)
    }

    /// Adds a rule that refuses `network`.
    pub fn deny(self, network: impl Into<Network>) -> Self {
        self.rule(network.into(), false)
    }

    fn rule(mut self, network: Network, admits: bool) -> Self {
        self.rules.push((network, admits));
        self
    }

    /// Whether `ip` is admitted.
    pub fn admits(&self, ip: IpAddr) -> bool {
        let fitting = self.rules.iter().find(|(network, _)| network.contains(ip));
        fitting.is_none_or(|&(_, admits)| admits)
    }
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
    fn the_first_rule_that_fits_decides() {
        let access = Access::new()
            .deny(ip("192.168.1.1"))
            .allow(network("192.168.1.0/24"))
            .allow(network("2001:db8::/32"))
            .deny(network("0.0.0.0/0"))
            .deny(network("::/0"));
        for (text, admitted) in [
            ("192.168.1.1", false),
            ("192.168.1.2", true),
            ("192.168.2.2", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("::ffff:192.168.1.2", true),
        ] {
            assert_eq!(access.admits(ip(text)), admitted, "{text}");
        }
        assert!(Access::new().admits(ip("::1")));
    }

    #[test]
    fn networks_forget_the_bits_behind_their_prefix() {
        assert_eq!(network("10.1.2.3/8"), network("10.0.0.0/8"));
        assert_eq!(network("10.1.2.3").to_string(), "10.1.2.3/32");
        assert_eq!(Network::new(ip("10.1.2.3"), 33), None);
        let error = "10.0.0.0/33".parse::<Network>().unwrap_err();
        assert!(error.to_string().contains("\"10.0.0.0/33\""), "{error}");
    }
}
