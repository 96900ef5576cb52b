//! Who a backend is to the hashing policies, whatever its place in a snapshot.

use std::net::{IpAddr, SocketAddr};

use crate::backend::Backend;
use crate::hash::xxh64;
use crate::state::backend_state::BackendState;
use crate::tiers::tier::{BackendIndex, Slot, Tier};

/// One number for each backend of `tier`: the XXH64 of `name:port`, or of its address if it has no name or shares the
/// name and port with others of the tier, as the addresses of one DNS name do.
pub(crate) fn identities(tier: &Tier) -> Box<[u64]> {
    identities_of(tier.slots().iter().map(Slot::state))
}

/// The same for any backends.
pub(crate) fn identities_of<'a>(
    states: impl Iterator<Item = &'a BackendState> + Clone,
) -> Box<[u64]> {
    let mut names: Vec<u64> = states.clone().filter_map(BackendState::name_id).collect();
    names.sort_unstable();
    let pairs = names.windows(2).filter(|pair| pair[0] == pair[1]);
    let shared: Vec<u64> = pairs.map(|pair| pair[0]).collect();
    let alone = |name: &u64| shared.binary_search(name).is_err();
    let identity = |state: &BackendState| {
        let name = state.name_id().filter(alone);
        name.unwrap_or_else(|| of_addr(state.addr()))
    };
    states.map(identity).collect()
}

/// The number of a backend's name and port, if it has a name.
pub(crate) fn of_name(backend: &Backend) -> Option<u64> {
    let text = format!("{}:{}", backend.name.as_deref()?, backend.addr.port());
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
