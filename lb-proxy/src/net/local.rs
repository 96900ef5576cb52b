//! The addresses of this machine.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::ifaddrs::getifaddrs;

/// The addresses of this machine's network interfaces at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LocalAddresses(HashSet<IpAddr>);

impl LocalAddresses {
    /// Reads the addresses from the kernel. Costs two system calls per 200 addresses or so, and does not wait.
    ///
    /// # Errors
    ///
    /// The kernel does not answer.
    pub fn now() -> io::Result<Self> {
        let interfaces = getifaddrs()?;
        let addrs = interfaces.filter_map(|interface| {
            let addr = interface.address?;
            let v4 = addr.as_sockaddr_in().map(|addr| IpAddr::V4(addr.ip()));
            v4.or_else(|| Some(IpAddr::V6(addr.as_sockaddr_in6()?.ip())))
        });
        Ok(Self(addrs.collect()))
    }

    /// Whether a connection to `ip` ends at this machine.
    ///
    /// True for all loopback addresses, and for the unspecified ones, which Linux connects to a loopback address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_loopback() || ip.is_unspecified() || self.0.contains(&ip)
    }

    /// Whether a connection to `to` arrives at a socket that listens on `listener`.
    ///
    /// An IPv6 wildcard is assumed to accept IPv4 as well.
    pub fn lead_to(&self, listener: SocketAddr, to: SocketAddr) -> bool {
        let (listens, to_ip) = (listener.ip().to_canonical(), to.ip().to_canonical());
        let same_family = listens.is_ipv4() == to_ip.is_ipv4();
        listener.port() == to.port()
            && if listens.is_unspecified() {
                (same_family || listens.is_ipv6()) && self.contains(to_ip)
            } else {
                listens == loopback_for(to_ip)
            }
    }
}

/// The address that Linux connects to for `ip`: a loopback address if `ip` is unspecified.
fn loopback_for(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_local_and_documentation_addresses_are_not() {
        let local = LocalAddresses::now().unwrap();
        for (ip, is_local) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("0.0.0.0", true),
            ("::1", true),
            ("::", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(local.contains(ip.parse().unwrap()), is_local, "{ip}");
        }
        // An interface address matches its IPv4-mapped form as well.
        let local = LocalAddresses(HashSet::from(["192.0.2.1".parse().unwrap()]));
        assert!(local.contains("::ffff:192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn a_listener_is_reached_by_its_address_or_by_a_wildcard() {
        let local = LocalAddresses::default();
        for (listener, to, is_reached) in [
            ("127.0.0.1:446", "127.0.0.1:446", true),
            ("127.0.0.1:446", "[::ffff:127.0.0.1]:446", true),
            ("127.0.0.1:446", "0.0.0.0:446", true),
            ("[::1]:446", "[::]:446", true),
            ("127.0.0.1:446", "127.0.0.2:446", false),
            ("127.0.0.1:446", "127.0.0.1:447", false),
            ("0.0.0.0:446", "127.0.0.2:446", true),
            ("0.0.0.0:446", "[::1]:446", false),
            ("0.0.0.0:446", "192.0.2.7:446", false),
            ("[::]:446", "127.0.0.1:446", true),
            ("[::]:446", "[::1]:446", true),
            ("[::]:446", "[2001:db8::1]:446", false),
            ("192.0.2.1:446", "192.0.2.1:446", true),
        ] {
            let reached = local.lead_to(listener.parse().unwrap(), to.parse().unwrap());
            assert_eq!(reached, is_reached, "{to} to {listener}");
        }
    }
}
