//! The networks with trusted senders of PROXY protocol headers.

use std::net::{IpAddr, SocketAddr};

use lb_core::Endpoint;
use lb_discovery::{Network, NetworkError};

/// The networks that PROXY protocol headers are believed from. Default: none, because a trusted sender can claim any client address.
#[doc(alias = "set_real_ip_from")]
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TrustedNetworks {
    networks: Vec<Network>,
    unix: bool,
}

impl TrustedNetworks {
    /// Trusts no peer.
    pub fn none() -> Self {
        Self::default()
    }

    /// Parses networks (`10.0.0.0/8`, `2001:db8::/32`) and single addresses.
    ///
    /// Bits behind the prefix are ignored, as in nginx. To trust every peer, pass both `0.0.0.0/0` and `::/0`.
    ///
    /// # Errors
    ///
    /// The first text that is neither a network nor an address.
    pub fn try_new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, NetworkError> {
        texts.into_iter().map(str::parse::<Network>).collect()
    }

    /// Trusts peers on unix sockets, too.
    #[must_use]
    pub fn trust_unix(mut self) -> Self {
        self.unix = true;
        self
    }

    /// Whether the peer with this address, or the key of a unix socket, is trusted.
    pub(crate) fn contains_peer(&self, peer: SocketAddr) -> bool {
        match Endpoint::is_unix_key(peer) {
            true => self.unix,
            false => self.contains(peer.ip()),
        }
    }

    /// Whether `peer` is trusted. O(number of networks).
    ///
    /// An IPv4-mapped IPv6 address, which a dual-stack listener returns, is compared with the IPv4 networks.
    pub fn contains(&self, peer: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(peer))
    }

    /// Whether no peer is trusted.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }
}

impl FromIterator<Network> for TrustedNetworks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self {
            networks: Network::aggregate(networks),
            unix: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TrustedNetworks;

    fn trusts(networks: &[&str], peer: &str) -> bool {
        let networks = TrustedNetworks::try_new(networks.iter().copied()).unwrap();
        networks.contains(peer.parse().unwrap())
    }

    #[test]
    fn no_peer_is_trusted_by_default() {
        for peer in ["127.0.0.1", "::1", "10.0.0.1", "::ffff:127.0.0.1"] {
            assert!(!TrustedNetworks::default().contains(peer.parse().unwrap()));
            assert!(!trusts(&[], peer));
        }
        assert!(TrustedNetworks::none().is_empty());
    }

    #[test]
    fn peers_within_the_networks_and_single_addresses_are_trusted() {
        let networks = ["10.1.2.3/8", "192.0.2.7", "2001:db8::/32", "fe80::1"];
        for peer in ["10.255.0.1", "192.0.2.7", "2001:db8:ffff::1", "fe80::1"] {
            assert!(trusts(&networks, peer), "{peer}");
        }
        for peer in ["11.0.0.1", "192.0.2.8", "2001:db9::", "fe80::2", "::"] {
            assert!(!trusts(&networks, peer), "{peer}");
        }
    }

    #[test]
    fn ipv4_mapped_addresses_are_compared_as_ipv4() {
        assert!(trusts(&["10.0.0.0/8"], "::ffff:10.0.0.1"));
        assert!(trusts(&["::ffff:10.0.0.0/104"], "10.0.0.1"));
        assert!(trusts(&["::ffff:10.0.0.1"], "::ffff:10.0.0.1"));
        assert!(!trusts(&["::/0"], "10.0.0.1"));
        assert!(!trusts(&["0.0.0.0/0"], "2001:db8::1"));
    }

    #[test]
    fn a_text_that_is_no_network_is_an_error_that_names_it() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "example.com",
            "unix:",
            "::/129",
            "all",
            "10.0.0.1 ",
        ] {
            let error = TrustedNetworks::try_new(["10.0.0.0/8", text]).unwrap_err();
            assert_eq!(error.text, text);
        }
    }
}
