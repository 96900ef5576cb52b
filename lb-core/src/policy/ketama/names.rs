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
        let hashed = tier.indices().map(|i| (hash(tier.backend(i)), i));
        let mut hashed: Vec<(u64, BackendIndex)> = hashed.collect();
        hashed.sort_unstable();
        let mut names = Self {
            firsts: Vec::with_capacity(hashed.len()),
            shared: BTreeMap::new(),
        };
        for alike in hashed.chunk_by(|a, b| a.0 == b.0) {
            match alike {
                [(_, only)] => names.firsts.push(*only),
                _ => names.add(tier, alike.iter().map(|&(_, i)| i).collect()),
            }
        }
        names.firsts.sort_unstable();
        names
    }

    /// Adds backends with one hash, which are almost always those of one name.
    fn add(&mut self, tier: &Tier, mut alike: Vec<BackendIndex>) {
        while let Some(&first) = alike.first() {
            let is_same = |i: &BackendIndex| name(tier.backend(*i)) == name(tier.backend(first));
            let (members, others) = alike.into_iter().partition(is_same);
            let members: Vec<BackendIndex> = members;
            self.firsts.push(first);
            if members.len() > 1 {
                self.shared.insert(first, members);
            }
            alike = others;
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

/// What backends that share points have in common: their name or IP address, and their port.
pub(super) type Name<'a> = (Option<&'a str>, Option<IpAddr>, u16);

pub(super) fn name(backend: &Backend) -> Name<'_> {
    let unnamed = backend.name.is_none().then_some(backend.addr.ip());
    (backend.name.as_deref(), unnamed, backend.addr.port())
}

/// Equal for backends of one name.
fn hash(backend: &Backend) -> u64 {
    match &backend.name {
        Some(name) => xxh64(name.as_bytes(), backend.addr.port().into()),
        None => of_addr(backend.addr),
    }
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
