//! A balancer with the generator and clock that drive it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::expectations::worst_cost;
use super::step_rng::Rationed;
use super::watched::Watched;
use crate::backend::{Backend, Weight};
use crate::balancer::{Balancer, balancer};
use crate::config::BalancerConfig;
use crate::lease::pick::Pick;
use crate::pick::request::{PickError, PickRequest, Tried};
use crate::policy::Policy;
use crate::rng::{Rng, SplitMix64};
use crate::snapshot::Snapshot;
use crate::tiers::all_ejected::OnAllEjected;
use crate::time::Timestamp;
use crate::updater::Updater;

/// The address of backend number `i`. The order of addresses differs from the order of numbers on purpose.
pub(crate) fn addr(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (255 - i / 250) as u8, (250 - i % 250) as u8], 446))
}

pub(crate) fn backend(i: usize, weight: u16) -> Backend {
    Backend::new(addr(i)).weight(Weight::new(weight))
}

pub(crate) fn weighted(weights: &[u16]) -> Snapshot {
    let numbered = weights.iter().enumerate();
    numbered.map(|(i, &weight)| backend(i, weight)).collect()
}

pub(crate) fn tried(numbers: impl IntoIterator<Item = usize>) -> Tried {
    let mut tried = Tried::new();
    for i in numbers {
        tried.insert(addr(i));
    }
    tried
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

/// The default settings, except that no ejected backend is picked: the contract of a policy is about eligible ones.
pub(crate) fn settings() -> BalancerConfig {
    BalancerConfig::default().on_all_ejected(OnAllEjected::Refuse)
}

pub(crate) struct Rig {
    pub(crate) updater: Updater,
    pub(crate) balancer: Balancer,
    pub(crate) watched: Arc<Watched>,
    rng: Box<dyn Rng>,
}

impl Rig {
    /// A balancer with watched picks, at the time 0.
    pub(crate) fn new(policy: Arc<dyn Policy>, snapshot: &Snapshot) -> Self {
        let watched = Arc::new(Watched::new(policy));
        let (mut updater, balancer) = balancer(Arc::clone(&watched) as Arc<dyn Policy>);
        updater.set_config(settings());
        updater.apply(snapshot, at(0));
        Self {
            updater,
            balancer,
            watched,
            rng: Box::new(SplitMix64::new(0x5eed)),
        }
    }

    pub(crate) fn rng(mut self, rng: Box<dyn Rng>) -> Self {
        self.rng = rng;
        self
    }

    pub(crate) fn pick(
        &mut self,
        tried: &Tried,
        key: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Pick, PickError> {
        let mut request = PickRequest::new(tried);
        if let Some(key) = key {
            request = request.key(key);
        }
        let mut rng = Rationed {
            rng: &mut *self.rng,
            left: worst_cost(self.balancer.set().snapshot().len()),
        };
        self.balancer.pick(&request, now, &mut rng)
    }

    /// The first pick of backend number `i`, at the time 0.
    pub(crate) fn pick_only(&mut self, i: usize) -> Pick {
        let n = self.balancer.set().snapshot().len();
        self.pick(&tried((0..n).filter(|&other| other != i)), None, at(0))
            .unwrap_or_else(|error| panic!("number {i} is the only one not tried: {error}"))
    }

    /// Where `n` connections with random keys go at the time 0, each released at once, by number.
    pub(crate) fn counts(&mut self, tried: &Tried, n: u64) -> Vec<u64> {
        let mut keys = SplitMix64::new(0xcafe);
        self.counts_of(tried, (0..n).map(|_| keys.next_u64().to_le_bytes()))
    }

    /// The same for these keys.
    pub(crate) fn counts_of<K: AsRef<[u8]>>(
        &mut self,
        tried: &Tried,
        keys: impl IntoIterator<Item = K>,
    ) -> Vec<u64> {
        let set = self.balancer.set();
        let numbers: std::collections::BTreeMap<_, _> =
            set.snapshot().iter().map(|b| b.addr).zip(0..).collect();
        let mut counts = vec![0; numbers.len()];
        for key in keys {
            let pick = self
                .pick(tried, Some(key.as_ref()), at(0))
                .unwrap_or_else(|error| panic!("{}: {error}", self.watched.name()));
            let number: usize = numbers[&pick.backend().addr];
            counts[number] += 1;
        }
        counts
    }
}
