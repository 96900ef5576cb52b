//! Priority levels that spill, and panic.
use std::sync::Arc;

use lb_core::policy::{PolicyKind, WeightedRandom, WeightedRoundRobin};
use lb_core::{BalancerConfig, Health, PickError, Priority, Snapshot};

use crate::support::{Bench, at, backend, chi_square, small};

/// A hundred backends in each of two tiers: those from 0 and those from 100.
fn two_tiers() -> Snapshot {
    (0..200)
        .map(|i| backend(i).priority(Priority::new(u8::from(i >= 100))))
        .collect()
}

/// Two tiers with the given percentages of healthy backends.
fn healthy(config: BalancerConfig, percent: [usize; 2]) -> Bench {
    let bench = Bench::with(Arc::new(WeightedRandom::new()), config, &two_tiers());
    for (tier, healthy) in percent.into_iter().enumerate() {
        for i in healthy..100 {
            bench.check(100 * tier + i, Health::Unhealthy, at(0));
        }
    }
    bench
}

/// The tiers' shares of 10 000 connections, and whether unhealthy backends got any.
fn shares(bench: &mut Bench, percent: [usize; 2]) -> ([u32; 2], [bool; 2]) {
    let counts = bench.counts(10_000, 200, at(1));
    let tier = |tier: usize| &counts[100 * tier..][..100];
    let share = |t: usize| tier(t).iter().sum();
    let panics = |t: usize| tier(t)[percent[t]..].iter().any(|&n| n > 0);
    ([share(0), share(1)], [panics(0), panics(1)])
}

fn envoy() -> BalancerConfig {
    BalancerConfig::default()
        .overprovisioning(140)
        .panic_threshold(50)
}

/// The tables of Envoy's documentation ("Priority levels" and "Panic threshold"): healthy percentages of two tiers,
/// the percentage of connections that the first gets, and which tiers panic.
const ENVOYS: [([usize; 2], f64, [bool; 2]); 11] = [
    ([100, 100], 100.0, [false, false]),
    ([72, 72], 100.0, [false, false]),
    ([72, 100], 100.0, [false, false]),
    ([71, 71], 99.4, [false, false]),
    ([71, 100], 99.4, [false, false]),
    ([50, 60], 70.0, [false, false]),
    ([50, 100], 70.0, [false, false]),
    ([25, 100], 35.0, [false, false]),
    ([0, 100], 0.0, [false, false]),
    // 35 % each are scaled up to a whole.
    ([25, 25], 50.0, [true, true]),
    // 7 % and 91 %.
    ([5, 65], 7.1, [true, false]),
];

#[test]
fn tiers_share_and_panic_as_envoys_tables_say() {
    for (percent, first, panic) in ENVOYS {
        let (share, panics) = shares(&mut healthy(envoy(), percent), percent);
        assert_eq!(panics, panic, "{percent:?}");
        if first == 100.0 || first == 0.0 {
            assert_eq!(share[0], (100.0 * first) as u32, "{percent:?}");
        } else {
            let statistic = chi_square(&share, &[first, 100.0 - first]);
            assert!(
                statistic < 15.0,
                "{percent:?}: {share:?}, chi-square {statistic}"
            );
        }
    }
}

#[test]
fn three_tiers_split_the_remaining_share_in_order() {
    // 5 of 10, 3 of 10, all of 10 are healthy: 70 %, then 42 % of which 30 are left, then none.
    let snapshot = (0..30).map(|i| backend(i).priority(Priority::new(i as u8 / 10)));
    let mut bench = Bench::with(
        Arc::new(WeightedRandom::new()),
        envoy(),
        &snapshot.collect(),
    );
    for i in (5..10).chain(13..20) {
        bench.check(i, Health::Unhealthy, at(0));
    }
    let counts = bench.counts(10_000, 30, at(1));
    let share = |t: usize| counts[10 * t..][..10].iter().sum::<u32>();
    assert_eq!(share(2), 0);
    assert!(chi_square(&[share(0), share(1)], &[70.0, 30.0]) < 15.0);
}

#[test]
fn when_all_tiers_panic_the_numbers_of_backends_decide() {
    // 1 of 10 and none of 30 are healthy.
    let snapshot = (0..40).map(|i| backend(i).priority(Priority::new(u8::from(i >= 10))));
    let mut bench = Bench::with(
        Arc::new(WeightedRandom::new()),
        envoy(),
        &snapshot.collect(),
    );
    for i in 1..40 {
        bench.check(i, Health::Unhealthy, at(0));
    }
    let counts = bench.counts(10_000, 40, at(1));
    assert!(chi_square(&counts, &[1.0; 40]) < 90.0, "{counts:?}");
}

#[test]
fn a_backup_gets_nothing_before_the_last_primary_fails_by_default() {
    let percent = [1, 100];
    let plain = shares(&mut healthy(BalancerConfig::default(), percent), percent);
    assert_eq!(plain, ([10_000, 0], [false, false]));
    let percent = [0, 1];
    let plain = shares(&mut healthy(BalancerConfig::default(), percent), percent);
    assert_eq!(plain, ([0, 10_000], [false, false]));
}

#[test]
fn no_tier_panics_without_a_threshold_or_while_the_tiers_together_suffice() {
    let none = BalancerConfig::default().overprovisioning(140);
    assert_eq!(shares(&mut healthy(none, [5, 5]), [5, 5]).1, [false, false]);
    assert_eq!(
        shares(&mut healthy(envoy(), [10, 100]), [10, 100]).1,
        [false, false]
    );
}

#[test]
fn one_tier_panics_below_its_threshold_for_every_policy() {
    for kind in PolicyKind::ALL {
        let config = BalancerConfig::default().panic_threshold(50);
        let snapshot: Snapshot = (0..4).map(backend).collect();
        let mut bench = Bench::with(small(kind), config, &snapshot);
        for i in [0, 1] {
            bench.check(i, Health::Unhealthy, at(0));
        }
        assert!(
            bench.pick_only(0, 4, at(0)).is_err(),
            "{kind}: half are healthy"
        );
        bench.check(2, Health::Unhealthy, at(0));
        for i in 0..4 {
            assert!(
                bench.pick_only(i, 4, at(0)).is_ok(),
                "{kind}: {i} in panic mode"
            );
        }
        bench.check(0, Health::Healthy, at(1));
        assert!(
            bench.pick_only(2, 4, at(1)).is_err(),
            "{kind}: the panic is over"
        );
    }
}

#[test]
fn full_and_tried_backends_are_not_picked_in_panic() {
    let config = BalancerConfig::default().panic_threshold(100);
    let snapshot = (0..2).map(|i| backend(i).max_conns(1));
    let mut bench = Bench::with(
        Arc::new(WeightedRoundRobin::new()),
        config,
        &snapshot.collect(),
    );
    for i in 0..2 {
        bench.check(i, Health::Unhealthy, at(0));
    }
    let held = bench.pick_only(0, 2, at(0)).unwrap();
    assert!(bench.pick_only(0, 2, at(0)).is_err(), "full");
    assert!(bench.pick_only(1, 2, at(0)).is_ok());
    drop(held);
}

#[test]
fn an_ejection_starts_a_panic_and_its_end_ends_it() {
    let config = BalancerConfig::default().panic_threshold(60);
    let snapshot: Snapshot = (0..2).map(backend).collect();
    let mut bench = Bench::with(Arc::new(WeightedRoundRobin::new()), config, &snapshot);
    let _ = bench.pick_only(0, 2, at(0)).unwrap().failed(at(0));
    // One of two is below 60 %, so even the ejected one is picked; without a trial.
    let both = [0, 0].map(|_| bench.pick_only(0, 2, at(5)));
    assert!(both.iter().all(Result::is_ok));
    drop(both);
    let trial = bench.pick_only(0, 2, at(11)).unwrap();
    // During the trial the panic continues; its success ends it.
    assert!(bench.pick_only(0, 2, at(11)).is_ok());
    trial.connected(at(11));
    let _ = bench.pick_only(1, 2, at(11)).unwrap();
    let set = bench.balancer.set();
    assert!(
        set.status(at(11))
            .all(|s| s.ejected_until.is_none() && s.fails == 0)
    );
}

#[test]
fn in_panic_mode_a_trial_that_succeeds_forgives_too() {
    let config = BalancerConfig::default().panic_threshold(100);
    let snapshot: Snapshot = (0..3).map(backend).collect();
    let mut bench = Bench::with(Arc::new(WeightedRoundRobin::new()), config, &snapshot);
    bench.check(2, Health::Unhealthy, at(0));
    let _ = bench.pick_only(0, 3, at(0)).unwrap().failed(at(0));
    bench.pick_only(0, 3, at(20)).unwrap().connected(at(20));
    let set = bench.balancer.set();
    assert_eq!(set.status(at(20)).next().unwrap().fails, 0);
}

#[test]
fn an_empty_balancer_stays_empty_in_panic() {
    let mut bench = Bench::with(
        Arc::new(WeightedRandom::new()),
        envoy(),
        &Snapshot::default(),
    );
    assert_eq!(bench.pick().map(drop), Err(PickError::Empty));
}
