//! The identity of a backend in the hashing policies, independent of its place in a snapshot.

use super::slot::Slot;
use super::tier::{BackendIndex, Tier};
use crate::hash;
use crate::state::backend_state::BackendState;

/// One number for each backend of `tier`: the hash of `name:port`, or of its address if it has no name or shares name and
/// port with others of the tier, as the addresses of one DNS name do.
pub(crate) fn identities(tier: &Tier) -> Box<[u64]> {
    identities_of(tier.slots().iter().map(Slot::state))
}

/// The same for any backends.
pub(crate) fn identities_of<'a>(
    states: impl Iterator<Item = &'a BackendState> + Clone,
) -> Box<[u64]> {
    let mut names: Vec<u64> = states.clone().filter_map(BackendState::name_hash).collect();
    names.sort_unstable();
    let pairs = names.windows(2).filter(|pair| pair[0] == pair[1]);
    let shared: Vec<u64> = pairs.map(|pair| pair[0]).collect();
    let is_unique = |name: &u64| shared.binary_search(name).is_err();
    let identity = |state: &BackendState| {
        let name = state.name_hash().filter(is_unique);
        name.unwrap_or_else(|| hash::of_addr(state.addr()))
    };
    states.map(identity).collect()
}

/// The indices of `ids` in the order of the identities.
pub(crate) fn in_order(ids: &[u64]) -> Vec<BackendIndex> {
    let mut order: Vec<(u64, u32)> = ids.iter().copied().zip(0..).collect();
    order.sort_unstable();
    order.iter().map(|&(_, i)| BackendIndex::new(i)).collect()
}
