//! Rules about the addresses of clients.

use std::net::{IpAddr, SocketAddr};

use lb_core::Endpoint;
use lb_discovery::Network;

/// Rules that admit or refuse client addresses. The first matching rule decides.
///
/// An address that no rule matches is admitted, as in nginx: end with a `deny` of everything to admit only the listed
/// addresses.
///
/// Everything is both `0.0.0.0/0` and `::/0`. As in nginx, rules about IPv4 and rules about IPv6 are two lists: an IPv4
/// client is compared with the IPv4 rules, and `deny ::/0` does not concern it. The address that a dual-stack listener
/// reports for an IPv4 client (`::ffff:192.0.2.1`) counts as IPv4. The exception is nginx's too: if there is no IPv4 rule
/// at all, such an address is compared with the IPv6 rules, and `deny ::/0` alone closes a dual-stack listener to IPv4
/// clients.
///
/// A client on a unix socket has no address: only [`allow_unix`](Self::allow_unix) and [`deny_unix`](Self::deny_unix)
/// concern it.
///
/// O(rules), a few nanoseconds for each rule that does not match.
#[doc(alias = "allow", alias = "deny")]
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct Access {
    rules: Vec<(Network, bool)>,
    /// Whether a rule is about IPv4.
    has_ipv4: bool,
    /// What the first rule about unix sockets says.
    unix: Option<bool>,
}

impl Access {
    /// No rules: every address is admitted.
    pub const fn new() -> Self {
        Self {
            rules: Vec::new(),
            has_ipv4: false,
            unix: None,
        }
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
        self.has_ipv4 |= network.is_ipv4();
        self
    }

    /// Adds a rule that admits clients on unix sockets.
    pub fn allow_unix(self) -> Self {
        self.unix_rule(true)
    }

    /// Adds a rule that refuses clients on unix sockets.
    pub fn deny_unix(self) -> Self {
        self.unix_rule(false)
    }

    /// The first rule counts, and rules about networks do not concern these clients.
    fn unix_rule(mut self, admits: bool) -> Self {
        self.unix.get_or_insert(admits);
        self
    }

    /// Whether the client with this address, or the key of a unix socket, is admitted.
    pub(crate) fn admits_client(&self, client: SocketAddr) -> bool {
        match Endpoint::is_unix_key(client) {
            true => self.unix.unwrap_or(true),
            false => self.admits(client.ip()),
        }
    }

    /// Whether `ip` is admitted.
    pub fn admits(&self, ip: IpAddr) -> bool {
        let ip = if self.has_ipv4 { ip.to_canonical() } else { ip };
        let matches = |(network, _): &&(Network, bool)| network.contains_as_is(ip);
        let matching = self.rules.iter().find(matches);
        matching.is_none_or(|&(_, admits)| admits)
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
    fn the_first_matching_rule_decides() {
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
    fn mapped_networks_and_mapped_clients_are_ipv4() {
        for rule in [
            "::ffff:192.0.2.0/120",
            "::ffff:0:0/96",
            "192.0.2.0/24",
            "::ffff:192.0.2.7",
        ] {
            let access = Access::new().deny(network(rule));
            assert!(!access.admits(ip("192.0.2.7")), "{rule}");
            assert!(!access.admits(ip("::ffff:192.0.2.7")), "{rule}");
            assert!(access.admits(ip("2001:db8::1")), "{rule}");
        }
    }

    #[test]
    fn rules_about_ipv6_concern_mapped_clients_only_without_rules_about_ipv4() {
        let ipv6_alone = Access::new().deny(network("::/0"));
        assert!(ipv6_alone.admits(ip("192.0.2.7")));
        assert!(!ipv6_alone.admits(ip("::ffff:192.0.2.7")));
        let both = Access::new()
            .deny(network("::/0"))
            .allow(network("192.0.2.0/24"))
            .deny(network("0.0.0.0/0"));
        for client in ["192.0.2.7", "::ffff:192.0.2.7"] {
            assert!(both.admits(ip(client)), "{client}");
        }
        assert!(!both.admits(ip("::ffff:198.51.100.7")));
    }
}
