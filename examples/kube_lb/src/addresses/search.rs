//! The search for free addresses.
//!
//! Within one decision an address that is used stays used, and a port that has an owner keeps it. So a search never begins again at an
//! address that an earlier search for the same has passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::ledger::Ledger;
use super::pool::Pool;
use super::request::Family;

/// How far the searches have come.
#[derive(Debug, Default)]
pub(super) struct Search<'a> {
    unused: BTreeMap<(&'a str, Family), Position>,
    shared: BTreeMap<(&'a str, Family, BTreeSet<u16>), Position>,
}

/// The first address that was not passed over.
#[derive(Clone, Copy, Debug, Default)]
enum Position {
    #[default]
    Start,
    At(IpAddr),
    End,
}

impl<'a> Search<'a> {
    /// The first address of a pool that no object has.
    pub(super) fn unused(
        &mut self,
        pool: &'a Pool,
        family: Family,
        ledger: &Ledger,
    ) -> Option<IpAddr> {
        let position = self.unused.entry((&pool.name, family)).or_default();
        position.advance(pool, family, |ip| !ledger.is_used(ip))
    }

    /// The first address of a pool, all of whose addresses are used, at which none of `ports` has an owner.
    pub(super) fn shared(
        &mut self,
        pool: &'a Pool,
        family: Family,
        ports: &BTreeSet<u16>,
        ledger: &Ledger,
    ) -> Option<IpAddr> {
        // Ports of their own for each object do not help if the objects have one port in common.
        for port in ports {
            self.search_for(pool, family, BTreeSet::from([*port]), ledger)?;
        }
        self.search_for(pool, family, ports.clone(), ledger)
    }

    fn search_for(
        &mut self,
        pool: &'a Pool,
        family: Family,
        ports: BTreeSet<u16>,
        ledger: &Ledger,
    ) -> Option<IpAddr> {
        let position = self.shared.entry((&*pool.name, family, ports.clone()));
        let position = position.or_default();
        position.advance(pool, family, |ip| ledger.is_free(ip, &ports))
    }
}

impl Position {
    /// Goes on to the next address that `fits`.
    fn advance(
        &mut self,
        pool: &Pool,
        family: Family,
        fits: impl Fn(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        let from = match *self {
            Self::Start => None,
            Self::At(ip) => Some(ip),
            Self::End => return None,
        };
        let found = pool.addresses_from(family, from).find(|ip| fits(*ip));
        *self = found.map_or(Self::End, Self::At);
        found
    }
}
