//! Requests of objects for addresses, and the addresses that they get.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// The kind of an object that may have addresses.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum OwnerKind {
    /// A Service of type LoadBalancer.
    Service,
    /// A Gateway.
    Gateway,
}

/// The object that has an address, a port or a listener.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Owner {
    /// Its kind.
    pub kind: OwnerKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Owner {
    /// The Service `name` in `namespace`.
    pub fn service(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: OwnerKind::Service,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl Owner {
    /// The Gateway `name` in `namespace`.
    pub fn gateway(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: OwnerKind::Gateway,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            OwnerKind::Service => "Service",
            OwnerKind::Gateway => "Gateway",
        };
        write!(f, "{kind} {}/{}", self.namespace, self.name)
    }
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of `ip`.
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// What an object asks for. All ports are TCP ports.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressRequest {
    /// The object.
    pub owner: Owner,
    /// When it was created, as the API writes it.
    pub created: String,
    /// The families: it gets one address of each, unless it requests several.
    pub families: Vec<Family>,
    /// Whether it is a problem that no pool has addresses of one of the families, although it has an address of another one.
    pub needs_all_families: bool,
    /// Its ports.
    pub ports: BTreeSet<u16>,
    /// The addresses that it requests. Empty: the program chooses.
    pub wanted: Vec<IpAddr>,
    /// The pool that it names.
    pub pool: Option<String>,
    /// What its status says that it has.
    pub held: Vec<Held>,
}

/// An address in the status of an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Held {
    /// The address.
    pub ip: IpAddr,
    /// The ports that are served there.
    pub ports: BTreeSet<u16>,
}

/// What an object gets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grant {
    /// Its addresses, in the order of its request.
    pub addresses: Vec<IpAddr>,
    /// The ports of these addresses that it has.
    pub ports: BTreeSet<(IpAddr, u16)>,
    /// The ports of these addresses that another object has.
    pub lost: BTreeMap<(IpAddr, u16), Owner>,
    /// What it asked for and did not get.
    pub problems: Vec<Problem>,
}

impl Grant {
    /// Whether the object has the port `port` of its address `ip`.
    pub fn has(&self, ip: IpAddr, port: u16) -> bool {
        self.ports.contains(&(ip, port))
    }
}

/// Why an object did not get an address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// No pool has a free address.
    #[error("no {family} address is free in {}", list(.pools))]
    Exhausted {
        /// The pools that were searched.
        pools: Vec<String>,
        /// The family.
        family: Family,
    },
    /// No pool may be used.
    #[error("no pool has {family} addresses for the namespace {namespace:?}")]
    NoPool {
        /// The namespace.
        namespace: String,
        /// The family.
        family: Family,
    },
    /// The object names a pool that does not exist.
    #[error("there is no pool {0:?}")]
    UnknownPool(String),
    /// The requested address is in no pool.
    #[error("the requested address {0} is in no pool")]
    NotInPool(IpAddr),
    /// The requested address is in another pool than the one that the object names.
    #[error("the requested address {ip} is not in the pool {pool:?}")]
    OtherPool {
        /// The address.
        ip: IpAddr,
        /// The named pool.
        pool: String,
    },
    /// The namespace may not use the pool.
    #[error("objects of the namespace {namespace:?} may not have addresses of the pool {pool:?}")]
    NotAllowed {
        /// The namespace.
        namespace: String,
        /// The pool.
        pool: String,
    },
    /// Another object has the address, and the pool is not shared.
    #[error("the requested address {ip} belongs to {owner}")]
    AddressTaken {
        /// The address.
        ip: IpAddr,
        /// Its owner.
        owner: Owner,
    },
}

fn list(pools: &[String]) -> String {
    match pools {
        [pool] => format!("the pool {pool:?}"),
        pools => format!("the pools {}", pools.join(", ")),
    }
}
