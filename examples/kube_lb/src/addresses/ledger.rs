//! The owners of addresses and ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::request::{Grant, Owner};

/// Who has which address and port. An entry is never replaced: the order of the calls decides.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    addresses: BTreeMap<IpAddr, BTreeSet<Owner>>,
    ports: BTreeMap<(IpAddr, u16), Owner>,
}

impl Ledger {
    /// Adds `ip` to the addresses of `owner`.
    pub(super) fn enter(&mut self, ip: IpAddr, owner: &Owner, grant: &mut Grant) {
        if !grant.addresses.contains(&ip) {
            grant.addresses.push(ip);
        }
        self.addresses.entry(ip).or_default().insert(owner.clone());
    }

    /// Gives `owner` the port `port` of `ip`, unless another object has it.
    pub(super) fn claim(&mut self, ip: IpAddr, port: u16, owner: &Owner, grant: &mut Grant) {
        let holder = self.ports.entry((ip, port));
        let holder = holder.or_insert_with(|| owner.clone());
        if holder == owner {
            grant.ports.insert((ip, port));
            grant.lost.remove(&(ip, port));
        } else {
            grant.lost.insert((ip, port), holder.clone());
        }
    }

    /// Whether an object has `ip`.
    pub(super) fn is_used(&self, ip: IpAddr) -> bool {
        self.addresses.contains_key(&ip)
    }

    /// An object other than `owner` that has `ip`.
    pub(super) fn other_owner(&self, ip: IpAddr, owner: &Owner) -> Option<&Owner> {
        let owners = self.addresses.get(&ip)?;
        owners.iter().find(|other| *other != owner)
    }

    /// Whether none of `ports` has an owner at `ip`.
    pub(super) fn is_free(&self, ip: IpAddr, ports: &BTreeSet<u16>) -> bool {
        let mut ports = ports.iter();
        ports.all(|port| !self.ports.contains_key(&(ip, *port)))
    }
}
