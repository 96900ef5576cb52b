//! The content of `/etc/hosts` (hosts(5)).

use std::collections::HashMap;
use std::net::IpAddr;

use hickory_resolver::proto::rr::Name;

use crate::ip_family::IpFamily;

use crate::host_rules::usable;

/// The addresses of names. hickory's own table rejects names with underscores, and cannot read a file with a byte that is
/// not UTF-8.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    by_name: HashMap<String, Vec<IpAddr>>,
}

impl Hosts {
    /// Parses a file's `text`. Skips invalid lines, as the system's resolver does.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut by_name: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in String::from_utf8_lossy(text).lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(addr) = words.next().and_then(|addr| addr.parse().ok()) else {
                continue;
            };
            for name in words {
                let addrs = by_name.entry(key(name)).or_default();
                if !addrs.contains(&addr) {
                    addrs.push(addr);
                }
            }
        }
        Self { by_name }
    }

    /// Returns the addresses of `name`, in the file's order.
    pub(crate) fn find(&self, name: &Name, families: &[IpFamily]) -> Vec<IpAddr> {
        let wanted = |addr: &IpAddr| usable(*addr) && families.contains(&IpFamily::of(*addr));
        let addrs = self.by_name.get(&key(&name.to_ascii()));
        let addrs = addrs.into_iter().flatten().copied();
        addrs.filter(wanted).collect()
    }
}

/// The key of a name: lower-case, without the dot at its end.
fn key(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [IpFamily; 2] = [IpFamily::V4, IpFamily::V6];

    fn find(text: &[u8], name: &str, families: &[IpFamily]) -> Vec<String> {
        let name = Name::from_ascii(name).unwrap();
        let found = Hosts::parse(text).find(&name, families);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_have_the_addresses_of_all_their_lines() {
        let text = b"10.0.0.1 node1.test node1 # one\n\n10.0.0.2\tNode1.Test.\n\
                     ::2 node1.test\n10.0.0.1 node1.test\n0.0.0.0 node1.test blocked.test\n";
        let all = ["10.0.0.1", "10.0.0.2", "::2"];
        assert_eq!(find(text, "node1.test", &BOTH), all);
        assert_eq!(find(text, "NODE1.test.", &BOTH), all);
        assert_eq!(find(text, "node1.test", &[IpFamily::V6]), ["::2"]);
        assert_eq!(find(text, "node1", &BOTH), ["10.0.0.1"]);
        assert!(find(text, "blocked.test", &BOTH).is_empty());
        assert!(find(text, "one", &BOTH).is_empty());
    }

    #[test]
    fn invalid_lines_are_skipped() {
        let text = b"\xef\xbb\xbf10.0.0.9 mark\n10.0.0 a_b\n10.0.0.1 a_b # caf\xe9\n\xff\xfe\n\
                     fe80::1%eth0 a_b\n10.0.0.2 -- a_b";
        assert_eq!(find(text, "a_b", &BOTH), ["10.0.0.1", "10.0.0.2"]);
    }
}
