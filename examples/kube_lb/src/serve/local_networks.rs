//! The IPv6 networks that are local to this machine as a whole (AnyIP).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

/// The routes of IPv6 of this thread's network namespace.
const ROUTES: &str = "/proc/thread-self/net/ipv6_route";

/// The flag of a route whose packets are delivered to this machine (`RTF_LOCAL` in the kernel's `ipv6_route.h`).
const LOCAL: u32 = 0x8000_0000;

/// The networks whose packets the kernel delivers to this machine: its addresses, and those of `ip -6 route add local`.
#[derive(Debug, Default)]
pub(super) struct LocalNetworks(Vec<Ipv6Net>);

impl LocalNetworks {
    /// Reads them from the kernel. None where it does not tell. Costs a read of all routes.
    pub(super) fn read() -> Self {
        File::open(ROUTES).map_or_else(
            |_| Self::default(),
            |file| Self::parse(BufReader::new(file)),
        )
    }

    fn parse(routes: impl BufRead) -> Self {
        let lines = routes.lines().map_while(Result::ok);
        Self(lines.filter_map(|line| network(&line)).collect())
    }

    pub(super) fn contain(&self, ip: Ipv6Addr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }
}

/// The network of a line, if it is local: destination, length of its prefix, seven other fields among them the flags, and the link.
fn network(line: &str) -> Option<Ipv6Net> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [destination, length, .., flags, _link] = fields[..] else {
        return None;
    };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let ip = u128::from_str_radix(destination, 16).ok()?;
    let length = u8::from_str_radix(length, 16).ok()?;
    (flags & LOCAL != 0)
        .then(|| Ipv6Net::new(ip.into(), length).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_networks_of_local_routes_are_local_and_no_others() {
        let line = |destination: &str, length: &str, flags: &str, link: &str| {
            let nothing = "0".repeat(32);
            format!(
                "{destination} {length} {nothing} 00 {nothing} 00000400 00000001 00000000 {flags} {link:>8}\n"
            )
        };
        let pool = "20010db8000100000000000000000000";
        let linked = "20010db8000200000000000000000000";
        let routes = line(&"0".repeat(32), "00", "00000003", "eth0")
            + &line(pool, "78", "80200001", "lo")
            + &line(linked, "40", "00000001", "eth0")
            + "20010db8\nno route\n";
        let local = LocalNetworks::parse(routes.as_bytes());
        for (ip, expected) in [
            ("2001:db8:1::", true),
            ("2001:db8:1::ff", true),
            ("2001:db8:1::100", false),
            ("2001:db8:2::1", false),
            ("::1", false),
        ] {
            assert_eq!(local.contain(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_tells_that_loopback_is_local() {
        let local = LocalNetworks::read();
        if local.0.is_empty() {
            return eprintln!("skipped: this kernel has no IPv6");
        }
        assert!(local.contain(Ipv6Addr::LOCALHOST));
        assert!(!local.contain("2001:db8:77::1".parse().unwrap()));
    }
}
