//! Ranges of addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// The addresses from the first to the last, both included, of one family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    first: IpAddr,
    last: IpAddr,
}

/// A text that is no range of addresses.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is no range of addresses: {problem}")]
pub struct RangeError {
    text: Box<str>,
    problem: &'static str,
}

impl Range {
    /// The range from `first` to `last`. `None` if they are of two families or in the wrong order.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Self { first, last })
    }

    /// Whether `ip` is in the range.
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&ip)
    }

    /// The addresses from `first` on. `None` if it is not one of them.
    pub(super) fn starting_at(&self, first: IpAddr) -> Option<Self> {
        let last = self.last;
        self.contains(first).then_some(Self { first, last })
    }

    /// Whether an address is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// Whether its addresses are of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }

    /// The addresses in their order. An IPv6 network has more of them than can be walked through.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let Self { first, last } = *self;
        let mut next = Some(first);
        std::iter::from_fn(move || {
            let ip = next?;
            next = (ip < last).then(|| successor(ip));
            Some(ip)
        })
    }
}

/// The address after `ip`, which is not the last of its family.
fn successor(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() + 1).into()),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() + 1).into()),
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let error = |problem| RangeError {
            text: text.into(),
            problem,
        };
        let ip = |part: &str| {
            part.trim()
                .parse::<IpAddr>()
                .map_err(|_| error("write an address, a network as 192.0.2.0/28, or FIRST-LAST"))
        };
        let range = if let Some((first, last)) = text.split_once('-') {
            Self::new(ip(first)?, ip(last)?).ok_or_else(|| {
                error("the first address must be of the same family as the last, and not above it")
            })?
        } else if text.contains('/') {
            let network: IpNet = text.trim().parse().map_err(|_| {
                error("a network is an address, a slash and the length of the prefix")
            })?;
            if network.addr() != network.network() {
                return Err(error("bits of the address are set behind the prefix"));
            }
            Self {
                first: network.network(),
                last: network.broadcast(),
            }
        } else {
            let only = ip(text)?;
            Self {
                first: only,
                last: only,
            }
        };
        match range.unusable() {
            Some(problem) => Err(error(problem)),
            None => Ok(range),
        }
    }
}

impl Range {
    /// Why no client could connect to one of its addresses.
    fn unusable(&self) -> Option<&'static str> {
        let of = |text: &str| text.parse::<IpNet>().expect("a network");
        let has = |network: &str| {
            let network = of(network);
            self.overlaps(&Self {
                first: network.network(),
                last: network.broadcast(),
            })
        };
        if has("0.0.0.0/32") || has("::/128") {
            Some("it has the unspecified address")
        } else if has("224.0.0.0/4") || has("ff00::/8") {
            Some("it has multicast addresses")
        } else if has("255.255.255.255/32") {
            Some("it has the broadcast address")
        } else if has("::ffff:0:0/96") {
            Some("it has IPv4 addresses in the form of IPv6: write them as IPv4")
        } else {
            None
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}
