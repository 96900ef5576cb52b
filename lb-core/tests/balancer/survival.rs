//! State survives changes of settings, and a new instance has none of the old state.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::{PolicyKind, WeightedRoundRobin};
use lb_core::{
    BalancerConfig, FailLimit, FailureEffect, Health, OutlierDetection, SlowStart, Snapshot,
    Subset, Tried, ZonePreference,
};

use crate::support::{Bench, at, backend, chi_square, small, tried, weighted};

fn everything() -> BalancerConfig {
    BalancerConfig::default()
        .outlier_detection(OutlierDetection::default().max_ejected_percent(50))
        .overprovisioning(140)
        .panic_threshold(30)
        .slow_start(SlowStart::new(Duration::from_secs(30)))
        .subset(Subset::new(1, 3))
        .zone(ZonePreference::new("a"))
}

fn status(bench: &Bench, seconds: u64) -> String {
    let set = bench.balancer.set();
    format!("{:?}", set.status(at(seconds)).collect::<Vec<_>>())
}

#[test]
fn the_embedders_data_of_a_backend_survives_what_its_state_survives() {
    let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &weighted(&[1]));
    let pick = bench.pick().unwrap();
    let data = pick.data(|backend| Arc::new(backend.addr)).unwrap();
    assert_eq!(pick.data(|_| Arc::new(7_u32)), None, "another type");
    drop(pick);
    bench.updater.apply(&weighted(&[5, 1]), at(1));
    for _ in 0..6 {
        let pick = bench.pick().unwrap();
        let again = pick.data(|backend| Arc::new(backend.addr)).unwrap();
        assert_eq!(*again, pick.addr());
        assert_eq!(Arc::ptr_eq(&again, &data), pick.addr() == *data);
    }
}

#[test]
fn settings_at_run_time_keep_all_state() {
    for kind in PolicyKind::ALL {
        let snapshot: Snapshot = (0..5).map(|i| backend(i).zone("a")).collect();
        let mut bench = Bench::new(small(kind), &snapshot);
        let held: Vec<_> = (0..5).map(|_| bench.pick().unwrap()).collect();
        held.iter().for_each(|pick| pick.connected(at(1)));
        let _ = bench.pick_only(0, 5, at(2)).unwrap().failed(at(2));
        bench.check(1, Health::Unhealthy, at(2));
        let before = status(&bench, 3);
        for config in [everything(), BalancerConfig::default(), everything()] {
            bench.updater.set_config(config);
            assert_eq!(status(&bench, 3), before, "{kind}");
        }
        drop(held);
    }
}

#[test]
fn equal_settings_publish_nothing_and_others_keep_the_membership() {
    let mut bench = Bench::with(PolicyKind::P2c.build(), everything(), &weighted(&[1; 5]));
    let before = bench.balancer.set();
    bench.updater.set_config(everything());
    bench.updater.set_config(BalancerConfig::default());
    assert!(Arc::ptr_eq(&before, &bench.balancer.set()));
}

#[test]
fn the_round_robin_continues_through_settings() {
    let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &weighted(&[1, 1, 1]));
    assert_eq!(bench.numbers(1), [0]);
    let calm = BalancerConfig::default().panic_threshold(50);
    bench.updater.set_config(calm.overprovisioning(140));
    assert_eq!(bench.numbers(2), [1, 2]);
}

#[test]
fn streaks_and_ejections_survive_settings_weights_and_policies() {
    let detection = OutlierDetection::default().max_ejected_percent(50);
    let config = BalancerConfig::default().outlier_detection(detection);
    let unlimited = |weight: u16| -> Snapshot {
        let plain = weighted(&[weight; 4]);
        plain.iter().map(|b| b.clone().fail_limit(None)).collect()
    };
    let mut bench = Bench::with(
        Arc::new(WeightedRoundRobin::new()),
        config.clone(),
        &unlimited(1),
    );
    for n in 0..4 {
        let failed = bench.pick_only(0, 4, at(n)).unwrap().failed(at(n));
        assert_eq!(failed, FailureEffect::Counted);
        bench.updater.set_policy(PolicyKind::Random.build());
        bench.updater.apply(&unlimited(2 + n as u16), at(n));
        bench
            .updater
            .set_config(config.clone().panic_threshold(10 + n as u8));
    }
    let fifth = bench.pick_only(0, 4, at(4)).unwrap().failed(at(4));
    assert_eq!(fifth, FailureEffect::Ejected);
    // It lasts even after outlier detection is switched off.
    bench.updater.set_config(BalancerConfig::default());
    assert!(bench.pick_only(0, 4, at(30)).is_err());
    assert!(bench.pick_only(0, 4, at(35)).is_ok());
}

#[test]
fn slow_start_continues_through_updates() {
    let slow = SlowStart::new(Duration::from_secs(100));
    let config = BalancerConfig::default().slow_start(slow);
    let mut bench = Bench::with(
        PolicyKind::Random.build(),
        config.clone(),
        &weighted(&[1, 1]),
    );
    bench.updater.apply(&weighted(&[1, 1, 1]), at(1000));
    bench.updater.apply(&weighted(&[2, 2, 2]), at(1040));
    bench
        .updater
        .set_policy(PolicyKind::WeightedRoundRobin.build());
    bench.updater.set_config(BalancerConfig::default());
    bench.updater.set_config(config);
    let counts = bench.counts(5000, 3, at(1050));
    assert!(chi_square(&counts, &[1.0, 1.0, 0.5]) < 18.0, "{counts:?}");
}

#[test]
fn a_new_instance_is_fresh_in_every_respect() {
    let limit = FailLimit::new(NonZeroU32::new(10).unwrap(), Duration::from_secs(1000));
    let of = |instance: &str| -> Snapshot {
        let plain = weighted(&[10, 10, 10]);
        let numbered = plain.iter().cloned().zip(0..);
        numbered
            .map(|(b, i)| b.instance(if i == 0 { instance } else { "same" }))
            .map(|b| b.fail_limit(Some(limit)))
            .collect()
    };
    let detection = OutlierDetection::default()
        .max_ejected_percent(50)
        .consecutive_failures(3);
    let config = BalancerConfig::default().outlier_detection(detection);
    let mut bench = Bench::with(Arc::new(WeightedRoundRobin::new()), config, &of("old"));
    let old = bench.pick_only(0, 3, at(0)).unwrap();
    old.connected(at(2));
    for _ in 0..3 {
        let _ = bench.pick_only(0, 3, at(3)).unwrap().failed(at(3));
    }
    bench.check(0, Health::Unhealthy, at(3));
    let seen = |bench: &Bench| {
        let set = bench.balancer.set();
        let status = set.status(at(4)).next().unwrap();
        let health = status.health;
        (
            status.in_flight,
            status.fails,
            status.connect_time,
            health,
            status.ejected_until,
        )
    };
    let (in_flight, fails, connect_time, health, ejected) = seen(&bench);
    assert_eq!((in_flight, fails, health), (1, 3, Health::Unhealthy));
    assert!(connect_time.is_some() && ejected.is_some());

    bench.updater.apply(&of("new"), at(4));
    assert_eq!(seen(&bench), (0, 0, None, Health::Healthy, None));
    // Its weight is whole, and its streak is empty.
    assert_eq!(bench.counts(30, 3, at(4)), [10, 10, 10]);
    for _ in 0..2 {
        let failed = bench.pick_only(0, 3, at(4)).unwrap().failed(at(4));
        assert_eq!(failed, FailureEffect::Counted);
    }
    // The connection of the old instance affects no backend any more.
    let _ = old.failed(at(4));
    let (in_flight, fails, ..) = seen(&bench);
    assert_eq!((in_flight, fails), (0, 2));
    assert!(bench.pick_at(&tried([1, 2]), at(4)).is_ok());
    assert!(bench.pick_at(&Tried::new(), at(4)).is_ok());
}
