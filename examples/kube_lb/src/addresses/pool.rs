//! Pools of addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::range::Range;
use super::request::Family;

/// Addresses that objects of some namespaces may have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pool {
    /// Its name, which annotations use.
    pub name: String,
    /// Its addresses.
    pub ranges: Vec<Range>,
    /// The namespaces whose objects may have its addresses. `None`: all.
    pub namespaces: Option<BTreeSet<String>>,
    /// Whether objects that name no pool and no address get its addresses.
    pub is_automatic: bool,
    /// Whether several objects may have one address, each with other ports.
    pub is_shared: bool,
}

impl Pool {
    /// A pool of `ranges` for all namespaces, automatic and shared.
    pub fn new(name: impl Into<String>, ranges: impl IntoIterator<Item = Range>) -> Self {
        Self {
            name: name.into(),
            ranges: ranges.into_iter().collect(),
            namespaces: None,
            is_automatic: true,
            is_shared: true,
        }
    }

    /// Whether `ip` is one of its addresses.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(ip))
    }

    /// Whether objects of `namespace` may have its addresses.
    pub fn allows(&self, namespace: &str) -> bool {
        let allowed = self.namespaces.as_ref();
        allowed.is_none_or(|namespaces| namespaces.contains(namespace))
    }

    /// Its addresses of `family`, in their order.
    pub(super) fn addresses(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        self.addresses_from(family, None)
    }

    /// The same from `first` on, which is one of them. `None`: all.
    pub(super) fn addresses_from(
        &self,
        family: Family,
        first: Option<IpAddr>,
    ) -> impl Iterator<Item = IpAddr> {
        let ranges = self.ranges.iter();
        let ranges = ranges.filter(move |range| range.is_ipv4() == (family == Family::Ipv4));
        let before = move |range: &&Range| first.is_some_and(|first| !range.contains(first));
        let mut first = first;
        ranges.skip_while(before).flat_map(move |range| {
            let from = first.take().and_then(|first| range.starting_at(first));
            from.unwrap_or(*range).iter()
        })
    }
}

/// All pools. No address is in two of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pools(Vec<Pool>);

/// Pools that cannot be used together.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PoolsError {
    /// Two pools have one name.
    #[error("two pools are called {0:?}: give each a name of its own")]
    Name(String),
    /// A pool has no addresses.
    #[error("the pool {0:?} has no addresses")]
    Empty(String),
    /// Two ranges have an address in common.
    #[error(
        "{0} of the pool {1:?} and {2} of the pool {3:?} have addresses in common: an address belongs to one pool"
    )]
    Overlap(Box<str>, String, Box<str>, String),
}

impl Pools {
    /// Checks and joins pools. Their order is the order in which addresses are chosen.
    ///
    /// # Errors
    ///
    /// [`PoolsError`].
    pub fn try_new(pools: Vec<Pool>) -> Result<Self, PoolsError> {
        let mut names = BTreeSet::new();
        for pool in &pools {
            if !names.insert(&pool.name) {
                return Err(PoolsError::Name(pool.name.clone()));
            }
            if pool.ranges.is_empty() {
                return Err(PoolsError::Empty(pool.name.clone()));
            }
        }
        let all: Vec<_> = pools
            .iter()
            .flat_map(|pool| pool.ranges.iter().map(move |range| (range, &pool.name)))
            .collect();
        for (i, (range, name)) in all.iter().enumerate() {
            for (other, other_name) in &all[..i] {
                if range.overlaps(other) {
                    return Err(PoolsError::Overlap(
                        other.to_string().into(),
                        (*other_name).clone(),
                        range.to_string().into(),
                        (*name).clone(),
                    ));
                }
            }
        }
        Ok(Self(pools))
    }

    /// The pool that has `ip`.
    pub fn of(&self, ip: IpAddr) -> Option<&Pool> {
        self.0.iter().find(|pool| pool.contains(ip))
    }

    /// The pool called `name`.
    pub fn named(&self, name: &str) -> Option<&Pool> {
        self.0.iter().find(|pool| pool.name == name)
    }

    /// The pools in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Pool> {
        self.0.iter()
    }
}
