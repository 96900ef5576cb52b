//! Zone preference, and subsets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::policy::{PolicyKind, WeightedRandom, WeightedRoundRobin};
use lb_core::{
    AdminState, Backend, BalancerConfig, Health, Priority, Snapshot, Subset, ZonePreference,
};

use crate::support::{Bench, addr, at, backend, chi_square, number, small};

const NEAR: usize = 10;
const ALL: usize = 30;

/// Ten backends in the zone a, twenty in b.
fn zoned() -> impl Iterator<Item = Backend> {
    (0..ALL).map(|i| backend(i).zone(if i < NEAR { "a" } else { "b" }))
}

fn prefers(zone: ZonePreference) -> BalancerConfig {
    BalancerConfig::default().zone(zone)
}

/// How many of 3000 connections go to near backends while `healthy` of them are healthy.
fn near(config: BalancerConfig, healthy: usize) -> u32 {
    let mut bench = Bench::with(Arc::new(WeightedRandom::new()), config, &zoned().collect());
    for i in healthy..NEAR {
        bench.check(i, Health::Unhealthy, at(0));
    }
    bench.counts(3000, ALL, at(0))[..NEAR].iter().sum()
}

fn assert_share(count: u32, percent: f64) {
    let statistic = chi_square(&[count, 3000 - count], &[percent, 100.0 - percent]);
    assert!(statistic < 15.0, "{count} of 3000 for {percent} %");
}

#[test]
fn near_backends_get_all_connections_while_most_are_healthy() {
    let config = || prefers(ZonePreference::new("a"));
    assert_eq!(near(config(), 10), 3000);
    assert_eq!(near(config(), 8), 3000);
    assert_share(near(config(), 7), 98.0);
    assert_share(near(config(), 5), 70.0);
    assert_share(near(config(), 1), 14.0);
    assert_eq!(near(config(), 0), 0);
    // Without a preference: by numbers.
    assert_share(near(BalancerConfig::default(), 10), 100.0 / 3.0);
}

#[test]
fn a_zone_with_too_few_healthy_backends_is_not_preferred() {
    let zone = ZonePreference::new("a").min_backends(6);
    assert_eq!(near(prefers(zone.clone()), 8), 3000);
    let few = near(prefers(zone), 5);
    assert_share(few, 100.0 / 3.0);
}

#[test]
fn without_a_zone_of_that_name_nothing_changes() {
    let elsewhere = || prefers(ZonePreference::new("c"));
    for kind in PolicyKind::ALL {
        let snapshot: Snapshot = zoned().collect();
        let mut with = Bench::with(small(kind), elsewhere(), &snapshot);
        let mut without = Bench::new(small(kind), &snapshot);
        let [with, without] = [&mut with, &mut without].map(|b| b.counts(500, ALL, at(0)));
        assert_eq!(with, without, "{kind}");
    }
}

#[test]
fn a_full_near_zone_spills_and_a_near_backup_waits() {
    for kind in PolicyKind::ALL {
        let snapshot = [
            backend(0).zone("a").max_conns(1),
            backend(1).zone("b"),
            backend(2).zone("a").priority(Priority::BACKUP),
        ];
        let config = prefers(ZonePreference::new("a"));
        let mut bench = Bench::with(small(kind), config, &snapshot.into_iter().collect());
        let first = bench.pick().unwrap();
        assert_eq!(number(&first), 0, "{kind}");
        assert_eq!(number(&bench.pick().unwrap()), 1, "{kind}");
        bench.check(1, Health::Unhealthy, at(0));
        assert_eq!(number(&bench.pick().unwrap()), 2, "{kind}");
    }
}

#[test]
fn a_zone_and_overprovisioning_multiply() {
    // Half of the first tier is healthy, all of it near: 70 % stay, the rest goes to the second tier.
    let snapshot = (0..30).map(|i| {
        let zone = if (10..20).contains(&i) { "b" } else { "a" };
        backend(i)
            .zone(zone)
            .priority(Priority::new(u8::from(i >= 20)))
    });
    let config = prefers(ZonePreference::new("a")).overprovisioning(140);
    let mut bench = Bench::with(Arc::new(WeightedRandom::new()), config, &snapshot.collect());
    for i in 10..20 {
        bench.check(i, Health::Unhealthy, at(0));
    }
    let counts = bench.counts(3000, 30, at(0));
    assert_share(counts[..10].iter().sum(), 70.0);
    assert_share(counts[20..].iter().sum(), 30.0);
}

/// The backends that balancer number `index` of many picks.
fn picked(index: u64, size: u32, snapshot: &Snapshot) -> BTreeMap<SocketAddr, u32> {
    let config = BalancerConfig::default().subset(Subset::new(index, size));
    let mut bench = Bench::with(Arc::new(WeightedRoundRobin::new()), config, snapshot);
    let mut picked = BTreeMap::new();
    for _ in 0..4 * size {
        *picked.entry(bench.pick().unwrap().addr()).or_default() += 1;
    }
    picked
}

#[test]
fn all_balancers_together_use_all_backends_evenly() {
    let snapshot: Snapshot = (0..100).map(backend).collect();
    let mut used: BTreeMap<SocketAddr, u32> = BTreeMap::new();
    for index in 0..200 {
        let picked = picked(index, 10, &snapshot);
        assert_eq!(picked.len(), 10, "balancer {index}");
        assert!(
            picked.values().all(|&n| n == 4),
            "balancer {index}: {picked:?}"
        );
        picked
            .into_keys()
            .for_each(|addr| *used.entry(addr).or_default() += 1);
    }
    // 20 each on average.
    assert_eq!(used.len(), 100);
    assert!(used.values().all(|n| (18..=22).contains(n)), "{used:?}");
}

#[test]
fn subsets_are_of_each_tier_and_without_the_drained() {
    let snapshot: Snapshot = (0..40)
        .map(|i| {
            let plain = backend(i).priority(Priority::new(u8::from(i >= 20)));
            if i < 10 {
                plain.admin(AdminState::Drain)
            } else {
                plain
            }
        })
        .collect();
    for index in 0..20 {
        let mut bench = Bench::with(
            Arc::new(WeightedRoundRobin::new()),
            BalancerConfig::default().subset(Subset::new(index, 3)),
            &snapshot,
        );
        let primaries: Vec<usize> = bench.numbers(3);
        assert!(
            primaries.iter().all(|i| (10..20).contains(i)),
            "{primaries:?}"
        );
        for &i in &primaries {
            bench.check(i, Health::Unhealthy, at(0));
        }
        // The other primaries are not in the subset, so its backups are picked.
        let backups = bench.counts(30, 40, at(0));
        assert_eq!(
            backups[20..].iter().filter(|&&n| n == 10).count(),
            3,
            "{backups:?}"
        );
    }
}

#[test]
fn a_backend_that_leaves_a_subset_keeps_its_connections() {
    let snapshot: Snapshot = (0..20).map(backend).collect();
    let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &snapshot);
    let held: Vec<_> = (0..20).map(|_| bench.pick().unwrap()).collect();
    let subset = |index| BalancerConfig::default().subset(Subset::new(index, 2));
    for index in 0..10 {
        bench.updater.set_config(subset(index));
        assert_eq!(bench.in_flight(), [1; 20]);
    }
    bench.updater.set_config(BalancerConfig::default());
    assert_eq!(bench.counts(20, 20, at(0)), [1; 20]);
    drop(held);
    assert_eq!(bench.in_flight(), [0; 20]);
    assert!(bench.balancer.set().snapshot().find(addr(19)).is_some());
}
