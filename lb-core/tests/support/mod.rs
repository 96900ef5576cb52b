//! Shared by the test files: backends a, b, c and so on, and a balancer that picks from them.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::policy::{Ketama, Maglev, PolicyKind, RingHash};
use lb_core::{
    Backend, Balancer, BalancerConfig, Health, Pick, PickError, PickRequest, Policy, Snapshot,
    SplitMix64, Timestamp, Tried, Updater, Weight, balancer,
};

/// The address of backend number `i`. The order of addresses differs from the order of numbers on purpose.
pub(crate) fn addr(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (255 - i / 250) as u8, (250 - i % 250) as u8], 446))
}

/// The letter of a backend, by its number.
pub(crate) fn letter(i: usize) -> char {
    (b'a' + u8::try_from(i).unwrap()) as char
}

pub(crate) fn backend(i: usize) -> Backend {
    Backend::new(addr(i))
}

pub(crate) fn weighted(weights: &[u16]) -> Snapshot {
    weights
        .iter()
        .enumerate()
        .map(|(i, &w)| backend(i).weight(Weight::new(w)))
        .collect()
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

/// A policy with small tables, if it has tables, for tests that compile it thousands of times. `policies/hashing.rs` checks
/// the default sizes.
pub(crate) fn small(kind: PolicyKind) -> Arc<dyn Policy> {
    match kind {
        PolicyKind::Ketama => Arc::new(Ketama::new().max_points(1 << 12)),
        PolicyKind::Maglev => Arc::new(Maglev::try_new(2039).unwrap()),
        PolicyKind::RingHash => Arc::new(RingHash::try_new(512, 1 << 12).unwrap()),
        other => other.build(),
    }
}

/// Both ends of a balancer with a seeded generator.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) updater: Updater,
    pub(crate) balancer: Balancer,
    pub(crate) rng: SplitMix64,
}

impl Bench {
    pub(crate) fn new(policy: Arc<dyn Policy>, snapshot: &Snapshot) -> Self {
        let (mut updater, balancer) = balancer(policy);
        updater.apply(snapshot, at(0));
        Self {
            updater,
            balancer,
            rng: SplitMix64::new(0x5eed),
        }
    }

    /// The same with settings around the policy.
    pub(crate) fn with(
        policy: Arc<dyn Policy>,
        config: BalancerConfig,
        snapshot: &Snapshot,
    ) -> Self {
        let mut bench = Self::new(policy, snapshot);
        bench.updater.set_config(config);
        bench
    }

    /// Reports the result of an active check of backend number `i`; true if its health was different before.
    pub(crate) fn check(&self, i: usize, health: Health, now: Timestamp) -> bool {
        self.balancer.set_health(addr(i), health, now)
    }

    /// A connection to backend number `i`, because all others of `n` count as tried.
    pub(crate) fn pick_only(
        &mut self,
        i: usize,
        n: usize,
        now: Timestamp,
    ) -> Result<Pick, PickError> {
        self.pick_at(&tried((0..n).filter(|&other| other != i)), now)
    }

    /// How many of `n` picks go to each of the backends numbered below `backends`, each released before the next.
    pub(crate) fn counts(&mut self, n: usize, backends: usize, now: Timestamp) -> Vec<u32> {
        let mut counts = vec![0; backends];
        for key in 0..n as u64 {
            let pick = self
                .pick_key(&key.to_le_bytes(), &Tried::new(), now)
                .unwrap();
            counts[number(&pick)] += 1;
        }
        counts
    }

    pub(crate) fn pick_at(&mut self, tried: &Tried, now: Timestamp) -> Result<Pick, PickError> {
        self.balancer
            .pick(&PickRequest::new(tried), now, &mut self.rng)
    }

    pub(crate) fn pick_key(
        &mut self,
        key: &[u8],
        tried: &Tried,
        now: Timestamp,
    ) -> Result<Pick, PickError> {
        let request = PickRequest::new(tried).key(key);
        self.balancer.pick(&request, now, &mut self.rng)
    }

    pub(crate) fn pick(&mut self) -> Result<Pick, PickError> {
        self.pick_at(&Tried::new(), at(0))
    }

    /// The backend numbers of `n` picks, each released before the next.
    pub(crate) fn numbers(&mut self, n: usize) -> Vec<usize> {
        (0..n).map(|_| number(&self.pick().unwrap())).collect()
    }

    pub(crate) fn in_flight(&self) -> Vec<u32> {
        let set = self.balancer.set();
        set.status(at(0)).map(|status| status.in_flight).collect()
    }
}

/// The number of the backend that was picked.
pub(crate) fn number(pick: &Pick) -> usize {
    number_of(pick.backend().addr)
}

pub(crate) fn number_of(addr: SocketAddr) -> usize {
    (0..20_000)
        .find(|&i| self::addr(i) == addr)
        .expect("an address made by addr()")
}

/// A set of addresses as `Tried`.
pub(crate) fn tried(numbers: impl IntoIterator<Item = usize>) -> Tried {
    let mut tried = Tried::new();
    for i in numbers {
        tried.insert(addr(i));
    }
    tried
}

/// Pearson's statistic of `counts` against shares in proportion to `parts`.
pub(crate) fn chi_square(counts: &[u32], parts: &[f64]) -> f64 {
    let total: f64 = counts.iter().copied().map(f64::from).sum();
    let sum: f64 = parts.iter().sum();
    let off = counts.iter().zip(parts).map(|(&count, part)| {
        let expected = total * part / sum;
        (f64::from(count) - expected).powi(2) / expected
    });
    off.sum()
}
