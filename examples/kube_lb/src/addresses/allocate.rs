//! The decision which object has which address and port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::ledger::Ledger;
use super::pool::{Pool, Pools};
use super::request::{AddressRequest, Family, Grant, Owner, Problem};
use super::search::Search;

/// Whether new addresses and ports may be given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Yes: this replica writes the status.
    Assign,
    /// No: objects have what their status says. Replicas that see objects at different times never disagree then.
    Follow,
}

/// Decides which object has which address and port; see the [module](super) for the order. Every object has a grant.
///
/// The order of `requests` does not matter. O(n log n), and O(addresses of the pools in use) for all objects that get none together
/// if they want the same ports: a user who creates thousands of objects for which no address is free does not slow down the others.
pub fn allocate(pools: &Pools, requests: &[AddressRequest], mode: Mode) -> BTreeMap<Owner, Grant> {
    let mut ordered: Vec<_> = requests.iter().collect();
    ordered.sort_by_key(|request| (&request.created, &request.owner));
    let mut allocation = Allocation {
        pools,
        ledger: Ledger::default(),
        grants: BTreeMap::new(),
        search: Search::default(),
    };
    for request in &ordered {
        allocation.keep(request);
    }
    if mode == Mode::Assign {
        for request in &ordered {
            allocation.add_ports(request);
        }
        for request in &ordered {
            allocation.give_wanted(request);
        }
        for request in &ordered {
            allocation.choose(request);
        }
    }
    allocation.grants
}

struct Allocation<'a> {
    pools: &'a Pools,
    ledger: Ledger,
    grants: BTreeMap<Owner, Grant>,
    search: Search<'a>,
}

impl Allocation<'_> {
    fn grant(&mut self, owner: &Owner) -> (&mut Ledger, &mut Grant) {
        let grant = self.grants.entry(owner.clone()).or_default();
        (&mut self.ledger, grant)
    }

    /// Step 1: the addresses and ports of the status.
    fn keep(&mut self, request: &AddressRequest) {
        let pools = self.pools;
        let (ledger, grant) = self.grant(&request.owner);
        let mut families = BTreeSet::new();
        for held in &request.held {
            let family = Family::of(held.ip);
            let fits = match request.wanted.is_empty() {
                true => request.families.contains(&family) && !families.contains(&family),
                false => request.wanted.contains(&held.ip),
            };
            if !fits || check(pools, request, held.ip).is_err() {
                continue;
            }
            families.insert(family);
            ledger.enter(held.ip, &request.owner, grant);
            for port in held.ports.intersection(&request.ports) {
                ledger.claim(held.ip, *port, &request.owner, grant);
            }
        }
    }

    /// Step 2: ports that the status does not have yet.
    fn add_ports(&mut self, request: &AddressRequest) {
        let (ledger, grant) = self.grant(&request.owner);
        for ip in grant.addresses.clone() {
            for port in &request.ports {
                ledger.claim(ip, *port, &request.owner, grant);
            }
        }
    }

    /// Step 3: the addresses that the object requests.
    fn give_wanted(&mut self, request: &AddressRequest) {
        let pools = self.pools;
        let (ledger, grant) = self.grant(&request.owner);
        for ip in &request.wanted {
            if grant.addresses.contains(ip) {
                continue;
            }
            let checked = check(pools, request, *ip).and_then(|pool| {
                match ledger.other_owner(*ip, &request.owner) {
                    Some(owner) if !pool.is_shared => Err(Problem::AddressTaken {
                        ip: *ip,
                        owner: owner.clone(),
                    }),
                    _ => Ok(()),
                }
            });
            if let Err(problem) = checked {
                grant.problems.push(problem);
                continue;
            }
            ledger.enter(*ip, &request.owner, grant);
            for port in &request.ports {
                ledger.claim(*ip, *port, &request.owner, grant);
            }
        }
    }

    /// Step 4: an address for each family that has none.
    fn choose(&mut self, request: &AddressRequest) {
        if !request.wanted.is_empty() {
            return;
        }
        for family in &request.families {
            let grant = self.grants.get(&request.owner);
            let mut held = grant.into_iter().flat_map(|grant| &grant.addresses);
            if held.any(|ip| Family::of(*ip) == *family) {
                continue;
            }
            let free = free_address(self.pools, &self.ledger, &mut self.search, request, *family);
            let (ledger, grant) = self.grant(&request.owner);
            match free {
                Ok(ip) => {
                    ledger.enter(ip, &request.owner, grant);
                    for port in &request.ports {
                        ledger.claim(ip, *port, &request.owner, grant);
                    }
                }
                Err(problem) => grant.problems.push(problem),
            }
        }
        let (_, grant) = self.grant(&request.owner);
        if !request.needs_all_families && !grant.addresses.is_empty() {
            let is_of_no_pool = |problem: &Problem| matches!(problem, Problem::NoPool { .. });
            grant.problems.retain(|problem| !is_of_no_pool(problem));
        }
    }
}

/// The pool of `ip`, if the object may have addresses of it.
fn check<'a>(pools: &'a Pools, request: &AddressRequest, ip: IpAddr) -> Result<&'a Pool, Problem> {
    let pool = pools.of(ip).ok_or(Problem::NotInPool(ip))?;
    if let Some(named) = request.pool.as_ref().filter(|named| **named != pool.name) {
        return Err(Problem::OtherPool {
            ip,
            pool: named.clone(),
        });
    }
    allowed(pool, request)
}

fn allowed<'a>(pool: &'a Pool, request: &AddressRequest) -> Result<&'a Pool, Problem> {
    let namespace = &request.owner.namespace;
    match pool.allows(namespace) {
        true => Ok(pool),
        false => Err(Problem::NotAllowed {
            namespace: namespace.clone(),
            pool: pool.name.clone(),
        }),
    }
}

/// An address of `family` without an owner; where there is none, one of a shared pool at which all ports are free.
fn free_address<'a>(
    pools: &'a Pools,
    ledger: &Ledger,
    search: &mut Search<'a>,
    request: &AddressRequest,
    family: Family,
) -> Result<IpAddr, Problem> {
    let usable: Vec<_> = match &request.pool {
        Some(name) => {
            let pool = pools.named(name);
            let pool = pool.ok_or_else(|| Problem::UnknownPool(name.clone()))?;
            vec![allowed(pool, request)?]
        }
        None => {
            let automatic = pools.iter().filter(|pool| pool.is_automatic);
            automatic
                .filter(|pool| allowed(pool, request).is_ok())
                .collect()
        }
    };
    let with_family = |pool: &&Pool| pool.addresses(family).next().is_some();
    let usable: Vec<_> = usable.into_iter().filter(with_family).collect();
    if usable.is_empty() {
        return Err(Problem::NoPool {
            namespace: request.owner.namespace.clone(),
            family,
        });
    }
    let unused = usable
        .iter()
        .find_map(|pool| search.unused(pool, family, ledger));
    let mut shared = usable.iter().filter(|pool| pool.is_shared);
    let shared = || shared.find_map(|pool| search.shared(pool, family, &request.ports, ledger));
    unused.or_else(shared).ok_or_else(|| Problem::Exhausted {
        pools: usable.iter().map(|pool| pool.name.clone()).collect(),
        family,
    })
}
