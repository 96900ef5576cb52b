//! The names that own the points of a ketama ring.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::slice;

use crate::backend::Backend;
use crate::hash::{Crc32, fold, of_addr, xxh64};
use crate::policy::parts::ring::Ring;
use crate::tiers::tier::{BackendIndex, Tier};

/// nginx's number of points for a unit of weight.
const POINTS: u64 = 160;

/// The backends of a tier by name and port.
pub(super) struct Names {
    /// The first backend of each, in order: it stands for the name.
    firsts: Vec<BackendIndex>,
    /// The backends of each name that has several, in order, by the first.
    shared: BTreeMap<BackendIndex, Vec<BackendIndex>>,
}

impl Names {
    pub(super) fn new(tier: &Tier) -> Self {
        // A hash and an index in one number: numbers sort in half the time of pairs.
        let hashed = tier
            .indices()
            .map(|i| Ring::point(hash(tier.backend(i)), i.get()));
        let mut hashed: Vec<u64> = hashed.collect();
        hashed.sort_unstable();
        let mut shared = BTreeMap::new();
        let alike = hashed.chunk_by(|a, b| a >> 32 == b >> 32);
        for alike in alike.filter(|alike| alike.len() > 1) {
            let alike = alike.iter().map(|&hashed| BackendIndex::new(hashed as u32));
            add_shared(&mut shared, tier, alike.collect());
        }
        let mut is_first = vec![true; hashed.len()];
        for other in shared.values().flat_map(|members| &members[1..]) {
            is_first[other.as_usize()] = false;
        }
        let firsts = tier.indices().filter(|i| is_first[i.as_usize()]);
        Self {
            firsts: firsts.collect(),
            shared,
        }
    }

    /// The first backend of each name, in order.
    pub(super) fn firsts(&self) -> impl Iterator<Item = BackendIndex> {
        self.firsts.iter().copied()
    }

    /// The backends of each name that has several, in order, by the first.
    pub(super) fn into_shared(self) -> BTreeMap<BackendIndex, Vec<BackendIndex>> {
        self.shared
    }

    fn members<'a>(&'a self, first: &'a BackendIndex) -> &'a [BackendIndex] {
        let shared = self.shared.get(first);
        shared.map_or_else(|| slice::from_ref(first), Vec::as_slice)
    }

    /// How many points each name has, in order.
    pub(super) fn numbers_of_points(&self, tier: &Tier, max_points: u64) -> Vec<u32> {
        // nginx adds the points of every address of a name. All but those of the heaviest are duplicates.
        let weight = |first: &BackendIndex| {
            let members = self.members(first).iter();
            let weights = members.map(|&i| u64::from(tier.weight(i).get()));
            weights.max().unwrap_or(0)
        };
        let units: u64 = self.firsts.iter().map(weight).sum();
        let most = (units * POINTS).min(max_points);
        let number = |first| (weight(first) * most / units).max(1) as u32;
        self.firsts.iter().map(number).collect()
    }

    /// At the first backend of each name, a number for the backends that share it and their weights, whatever their order.
    pub(super) fn digests(&self, tier: &Tier, identities: &[u64]) -> Vec<u64> {
        let mut digests = vec![0; identities.len()];
        let numbered = |i: &BackendIndex| [identities[i.as_usize()], tier.weight(*i).get().into()];
        for first in &self.firsts {
            let mut numbers: Vec<[u64; 2]> = self.members(first).iter().map(numbered).collect();
            numbers.sort_unstable();
            digests[first.as_usize()] = fold(numbers.into_iter().flatten());
        }
        digests
    }
}

/// Adds to `shared` the names that several of `alike` have, which are backends with one hash in order, almost always of one name.
fn add_shared(
    shared: &mut BTreeMap<BackendIndex, Vec<BackendIndex>>,
    tier: &Tier,
    mut alike: Vec<BackendIndex>,
) {
    while let Some(&first) = alike.first() {
        let is_same = |i: &BackendIndex| name(tier.backend(*i)) == name(tier.backend(first));
        let (members, others): (Vec<_>, Vec<_>) = alike.into_iter().partition(is_same);
        if members.len() > 1 {
            shared.insert(first, members);
        }
        alike = others;
    }
}

/// What backends that share points have in common: their name or IP address, and their port.
pub(super) type Name<'a> = (Option<&'a str>, Option<IpAddr>, u16);

pub(super) fn name(backend: &Backend) -> Name<'_> {
    let unnamed = backend.name.is_none().then_some(backend.addr.ip());
    (backend.name.as_deref(), unnamed, backend.addr.port())
}

/// Equal for backends of one name.
fn hash(backend: &Backend) -> u32 {
    let hash = match &backend.name {
        Some(name) => xxh64(name.as_bytes(), backend.addr.port().into()),
        None => of_addr(backend.addr),
    };
    hash as u32
}

/// The first `number` points of the name of `first`.
pub(super) fn points(tier: &Tier, first: BackendIndex, number: u32) -> impl Iterator<Item = u64> {
    let base = crc_of_name(tier.backend(first));
    let mut previous = 0_u32;
    (0..number).map(move |_| {
        previous = base.update(&previous.to_le_bytes()).finish();
        Ring::point(previous, first.get())
    })
}

/// The CRC-32 of `HOST "\0" PORT`, to be continued. The host of a unix socket is its path, and its port is empty.
fn crc_of_name(backend: &Backend) -> Crc32 {
    if let Some(path) = backend.unix_path() {
        let path = path.as_os_str().as_encoded_bytes();
        return Crc32::new().update(path).update(b"\0");
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match (&backend.name, backend.addr) {
        (Some(name), addr) => write!(text, "{name}\0{}", addr.port()),
        (None, SocketAddr::V4(addr)) => write!(text, "{}\0{}", addr.ip(), addr.port()),
        (None, SocketAddr::V6(addr)) => write!(text, "[{}]\0{}", addr.ip(), addr.port()),
    };
    Crc32::new().update(text.as_bytes())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::balancer::balancer;
    use crate::pick::request::{PickRequest, Tried};
    use crate::policy::Ketama;
    use crate::rng::SplitMix64;
    use crate::time::Timestamp;

    /// If they counted as one name, they would take turns.
    #[test]
    fn names_with_one_hash_keep_their_own_keys() {
        let ips = [[10, 0, 219, 223], [10, 1, 36, 231]];
        let backends = ips.map(|ip| Backend::new((ip, 80).into()));
        assert_eq!(hash(&backends[0]), hash(&backends[1]));
        let (mut updater, balancer) = balancer(Arc::new(Ketama::new()));
        updater.apply(&backends.into_iter().collect(), Timestamp::default());
        let tried = Tried::new();
        let mut rng = SplitMix64::new(1);
        let mut choice = |key: u8| {
            let key = [key];
            let request = PickRequest::new(&tried).key(&key);
            let pick = balancer.pick(&request, Timestamp::default(), &mut rng);
            pick.unwrap().backend().addr
        };
        for key in 0..100 {
            assert_eq!(choice(key), choice(key), "{key}");
        }
    }
}
