//! Texts by networks.

use std::collections::HashMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

/// Texts by networks. The longest prefix that an address has counts.
///
/// A look-up costs one look-up in a hash table for each length of prefix that occurs.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    v4: Prefixes,
    v6: Prefixes,
}

/// The networks of one family, each by its first address, the longest prefixes first.
#[derive(Debug, Default)]
struct Prefixes(Vec<(u8, HashMap<u128, Arc<str>>)>);

/// A network as written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cidr {
    address: IpAddr,
    prefix: u8,
    /// Bits behind the prefix were set; they do not count.
    pub(crate) has_low_bits: bool,
}

impl FromStr for Cidr {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(drop)?;
        let bits = bits_of(address);
        let prefix = match prefix {
            None => bits,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(drop)?
            }
            Some(_) => return Err(()),
        };
        if prefix > bits {
            return Err(());
        }
        Ok(Self {
            address,
            prefix,
            has_low_bits: key(address, prefix) != key(address, bits),
        })
    }
}

impl Networks {
    /// Sets the text of the addresses in no network. Returns the former one.
    pub(crate) fn set_default(&mut self, text: &Arc<str>) -> Option<Arc<str>> {
        let of_v4 = self.v4.insert(0, 0, Arc::clone(text));
        let of_v6 = self.v6.insert(0, 0, Arc::clone(text));
        of_v4.or(of_v6)
    }

    /// Sets the text of a network. Returns the former one.
    pub(crate) fn insert(&mut self, network: Cidr, text: Arc<str>) -> Option<Arc<str>> {
        let Cidr {
            address, prefix, ..
        } = network;
        self.family(address)
            .insert(prefix, key(address, prefix), text)
    }

    /// Whether the network was there.
    pub(crate) fn remove(&mut self, network: Cidr) -> bool {
        let Cidr {
            address, prefix, ..
        } = network;
        let Prefixes(all) = self.family(address);
        let of_length = all.iter_mut().find(|(length, _)| *length == prefix);
        of_length.is_some_and(|(_, networks)| networks.remove(&key(address, prefix)).is_some())
    }

    /// Whether there is no network and no default.
    pub(crate) const fn is_empty(&self) -> bool {
        self.v4.0.is_empty() && self.v6.0.is_empty()
    }

    /// The text of an address, empty if there is none.
    pub(crate) fn find(&self, address: IpAddr) -> &str {
        let Prefixes(all) = match address {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        let mut found = all.iter();
        let found = found.find_map(|(prefix, networks)| networks.get(&key(address, *prefix)));
        found.map_or("", |text| text)
    }

    const fn family(&mut self, address: IpAddr) -> &mut Prefixes {
        match address {
            IpAddr::V4(_) => &mut self.v4,
            IpAddr::V6(_) => &mut self.v6,
        }
    }
}

impl Prefixes {
    fn insert(&mut self, prefix: u8, key: u128, text: Arc<str>) -> Option<Arc<str>> {
        let Self(all) = self;
        let at = all.partition_point(|(length, _)| *length > prefix);
        if all.get(at).is_none_or(|(length, _)| *length != prefix) {
            all.insert(at, (prefix, HashMap::new()));
        }
        all[at].1.insert(key, text)
    }
}

const fn bits_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The first `prefix` bits of an address, the others 0.
fn key(address: IpAddr, prefix: u8) -> u128 {
    let number = match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    };
    let low = u32::from(bits_of(address) - prefix);
    number
        .checked_shr(low)
        .and_then(|high| high.checked_shl(low))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_are_addresses_with_an_optional_prefix() {
        for (text, expected) in [
            ("10.0.0.0/8", Some(false)),
            ("10.0.0.1/8", Some(true)),
            ("10.0.0.1", Some(false)),
            ("0.0.0.0/0", Some(false)),
            ("255.255.255.255", Some(false)),
            ("2001:db8::/32", Some(false)),
            ("2001:db8::1/32", Some(true)),
            ("::/0", Some(false)),
            ("10.0.0.0/33", None),
            ("::/129", None),
            ("10.0.0.0/", None),
            ("10.0.0.0/+8", None),
            ("10.0.0", None),
            ("a", None),
            ("", None),
        ] {
            let parsed = text.parse().ok().map(|network: Cidr| network.has_low_bits);
            assert_eq!(parsed, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_longest_prefix_counts(
            networks in prop::collection::vec((any::<u8>(), 0_u8..=32), 0..20),
            addresses in prop::collection::vec(any::<u8>(), 1..20),
            removed in any::<prop::sample::Index>(),
        ) {
            let address = |byte: u8| IpAddr::from([byte & 3, byte & 0xc0, 0, byte]);
            let network = |(byte, prefix)| -> Cidr {
                format!("{}/{prefix}", address(byte)).parse().unwrap()
            };
            let mut table = Networks::default();
            let mut model: Vec<(Cidr, String)> = Vec::new();
            for (i, pair) in networks.iter().enumerate() {
                let (network, text) = (network(*pair), i.to_string());
                let same = |other: &(Cidr, String)| {
                    other.0.prefix == network.prefix
                        && key(other.0.address, network.prefix) == key(network.address, network.prefix)
                };
                let before = model.iter().position(same).map(|at| model.remove(at).1);
                let replaced = table.insert(network, text.as_str().into());
                prop_assert_eq!(replaced.as_deref(), before.as_deref());
                model.push((network, text));
            }
            if !model.is_empty() {
                let (network, _) = model.remove(removed.index(model.len()));
                prop_assert!(table.remove(network));
                prop_assert!(!table.remove(network));
            }
            for byte in addresses {
                let address = address(byte);
                let of = |(network, _): &&(Cidr, String)| {
                    key(address, network.prefix) == key(network.address, network.prefix)
                };
                let best = model.iter().filter(of).max_by_key(|(network, _)| network.prefix);
                let expected = best.map_or("", |(_, text)| text);
                prop_assert_eq!(table.find(address), expected, "{}", address);
            }
        }
    }
}
