//! Who a backend is to the hashing policies, whatever its place in a snapshot.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use crate::backend::Backend;
use crate::hash::xxh64;
use crate::tier::{BackendIndex, Tier};

/// One number for each backend of `tier`: the XXH64 of `name:port`, or of its address if it has no name or shares the
/// name and port with others of the tier, as the addresses of one DNS name do.
pub(crate) fn identities(tier: &Tier) -> Box<[u64]> {
    identities_of(&tier.indices().map(|i| tier.backend(i)).collect::<Vec<_>>())
}

/// The same for any backends.
pub(crate) fn identities_of(backends: &[&Backend]) -> Box<[u64]> {
    let mut text = String::new();
    let mut names: Vec<Option<u64>> = backends
        .iter()
        .map(|backend| of_name(backend, &mut text))
        .collect();
    let mut seen = BTreeSet::new();
    let shared: BTreeSet<u64> = names
        .iter()
        .flatten()
        .copied()
        .filter(|&name| !seen.insert(name))
        .collect();
    for name in &mut names {
        *name = name.filter(|name| !shared.contains(name));
    }
    backends
        .iter()
        .zip(names)
        .map(|(backend, name)| name.unwrap_or_else(|| of_addr(backend.addr)))
        .collect()
}

fn of_name(backend: &Backend, text: &mut String) -> Option<u64> {
    text.clear();
    text.push_str(backend.name.as_deref()?);
    // Writing to a string cannot fail.
    let _ = write!(text, ":{}", backend.addr.port());
    Some(xxh64(text.as_bytes(), 0))
}

/// The places of `ids` in the order of the numbers.
pub(crate) fn in_order(ids: &[u64]) -> Vec<BackendIndex> {
    let mut order: Vec<(u64, u32)> = ids.iter().copied().zip(0..).collect();
    order.sort_unstable();
    order.iter().map(|&(_, i)| BackendIndex::new(i)).collect()
}

/// Of the address's octets under the port as seed: to write ten thousand as text takes milliseconds.
pub(crate) fn of_addr(addr: SocketAddr) -> u64 {
    let port = addr.port().into();
    match addr.ip() {
        IpAddr::V4(ip) => xxh64(&ip.octets(), port),
        IpAddr::V6(ip) => xxh64(&ip.octets(), port),
    }
}
