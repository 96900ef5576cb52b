//! Slow start and damped weights: shares that grow.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::{LeastConn, PolicyKind, WeightedRoundRobin};
use lb_core::{
    BalancerConfig, FailLimit, Health, OutlierDetection, PickError, PickRequest, SlowStart,
    Snapshot, SplitMix64, Timestamp, Tried, Weight, balancer,
};

use crate::support::{Bench, at, backend, chi_square, number, small, weighted};

const WINDOW: u64 = 100;

fn slow() -> SlowStart {
    SlowStart::new(Duration::from_secs(WINDOW))
}

fn slowly(slow_start: SlowStart) -> BalancerConfig {
    BalancerConfig::default().slow_start(slow_start)
}

/// Policies that spread idle backends by weight.
const BY_WEIGHT: [PolicyKind; 3] = [
    PolicyKind::P2c,
    PolicyKind::Random,
    PolicyKind::WeightedRoundRobin,
];

/// Three warm backends of weight 2, and number 3 that joins at the second 1000.
fn joined(kind: PolicyKind, slow_start: SlowStart) -> Bench {
    let mut bench = Bench::with(small(kind), slowly(slow_start), &weighted(&[2, 2, 2]));
    bench.updater.apply(&weighted(&[2, 2, 2, 2]), at(1000));
    bench
}

/// Asserts that the last of four backends gets `part` of an equal share.
fn assert_part(bench: &mut Bench, now: Timestamp, part: f64, message: &str) {
    let counts = bench.counts(6_000, 4, now);
    let statistic = chi_square(&counts, &[1.0, 1.0, 1.0, part]);
    // 99.99 % of seeds stay below 21 with three degrees of freedom.
    assert!(
        statistic < 21.0,
        "{message}: {counts:?}, chi-square {statistic}"
    );
}

#[test]
fn a_backend_that_joins_gets_its_share_by_envoys_formula() {
    let shapes = [slow(), slow().aggression(2.0), slow().aggression(0.5)];
    for kind in BY_WEIGHT {
        for slow_start in shapes {
            let mut bench = joined(kind, slow_start);
            for seconds in [0, 5, 25, 50, 90, WINDOW, 10 * WINDOW] {
                let time = seconds as f64 / WINDOW as f64;
                let part = time.powf(1.0 / slow_start.aggression).clamp(0.1, 1.0);
                let message = format!("{kind}, {slow_start:?}, after {seconds} s");
                assert_part(&mut bench, at(1000 + seconds), part, &message);
            }
        }
    }
}

#[test]
fn no_backend_of_the_first_snapshot_starts_slowly() {
    for kind in BY_WEIGHT {
        let mut bench = Bench::with(small(kind), slowly(slow()), &weighted(&[1, 1, 1, 1]));
        assert_part(&mut bench, at(0), 1.0, &kind.to_string());
    }
}

#[test]
fn a_backend_that_a_check_finds_healthy_starts_slowly() {
    let mut bench = Bench::with(
        PolicyKind::Random.build(),
        slowly(slow()),
        &weighted(&[1, 1, 1, 1]),
    );
    bench.check(3, Health::Unhealthy, at(500));
    bench.check(3, Health::Healthy, at(1000));
    assert_part(&mut bench, at(1050), 0.5, "recovered");
    // A check with the same result changes nothing.
    bench.check(3, Health::Healthy, at(1060));
    assert_part(&mut bench, at(1080), 0.8, "checked again");
    assert_part(&mut bench, at(1100), 1.0, "warm");
}

#[test]
fn a_backend_that_waits_for_its_first_check_starts_slowly_unless_it_was_there_at_the_start() {
    let config = slowly(slow()).initial_health(Health::Unchecked);
    let (mut updater, balancer) = balancer(PolicyKind::Random.build());
    updater.set_config(config);
    updater.apply(&weighted(&[1, 1, 1]), at(0));
    let mut bench = Bench {
        updater,
        balancer,
        rng: SplitMix64::new(0x5eed),
    };
    for i in 0..3 {
        assert_eq!(
            bench.pick_only(i, 3, at(1)).err(),
            Some(PickError::Exhausted)
        );
        assert!(bench.check(i, Health::Healthy, at(900)), "changed");
    }
    let tried = Tried::new();
    let request = PickRequest::new(&tried);
    let explained = bench.balancer.explain(&request, at(900), &mut bench.rng);
    let explained = explained.unwrap().backends;
    assert!(explained.iter().all(|b| b.slow_start_percent.is_none()));
    bench.updater.apply(&weighted(&[1, 1, 1, 1]), at(950));
    assert_eq!(
        bench.pick_only(3, 4, at(951)).err(),
        Some(PickError::Exhausted)
    );
    bench.check(3, Health::Healthy, at(1000));
    assert_part(
        &mut bench,
        at(1050),
        0.5,
        "joined, and warm since its first check",
    );
}

#[test]
fn a_backend_that_recovers_by_a_trial_starts_slowly() {
    let mut bench = Bench::with(
        PolicyKind::Random.build(),
        slowly(slow()),
        &weighted(&[1, 1, 1, 1]),
    );
    let _ = bench.pick_only(3, 4, at(500)).unwrap().failed(at(500));
    let trial = bench.pick_only(3, 4, at(1000)).unwrap();
    trial.connected(at(1000));
    drop(trial);
    assert_part(&mut bench, at(1050), 0.5, "recovered");
}

#[test]
fn an_outlier_starts_slowly_when_its_ejection_ends() {
    let detection = OutlierDetection::default()
        .max_ejected_percent(50)
        .consecutive_failures(1);
    let config = slowly(slow()).outlier_detection(detection);
    let snapshot: Snapshot = (0..4).map(|i| backend(i).fail_limit(None)).collect();
    for check_at in [None, Some(980)] {
        let mut bench = Bench::with(PolicyKind::Random.build(), config.clone(), &snapshot);
        let _ = bench.pick_only(3, 4, at(970)).unwrap().failed(at(970));
        if let Some(now) = check_at {
            bench.check(3, Health::Healthy, at(now));
        }
        let end = check_at.unwrap_or(1000);
        assert_part(&mut bench, at(end + 50), 0.5, "recovered");
    }
}

#[test]
fn a_new_instance_starts_slowly_and_a_new_weight_does_not() {
    let mut bench = Bench::with(
        PolicyKind::Random.build(),
        slowly(slow()),
        &weighted(&[1, 1, 1, 1]),
    );
    let changed = |instance: Option<&str>| -> Snapshot {
        let plain = weighted(&[2, 2, 2, 2]);
        let backends = plain.iter().cloned().enumerate();
        backends
            .map(|(i, b)| match instance {
                Some(name) if i == 3 => b.instance(name),
                _ => b,
            })
            .collect()
    };
    bench.updater.apply(&changed(None), at(1000));
    assert_part(&mut bench, at(1001), 1.0, "another weight");
    bench.updater.apply(&changed(Some("new")), at(2000));
    assert_part(&mut bench, at(2050), 0.5, "another instance");
}

#[test]
fn hashing_policies_ignore_slow_start() {
    use PolicyKind::{Ketama, Maglev, NginxHash, Rendezvous, RingHash};
    for kind in [Ketama, Maglev, NginxHash, Rendezvous, RingHash] {
        let mut new = joined(kind, slow());
        let mut old = Bench::new(small(kind), &weighted(&[2, 2, 2, 2]));
        let new = new.counts(1000, 4, at(1000));
        assert_eq!(new, old.counts(1000, 4, at(1000)), "{kind}");
    }
}

#[test]
fn backends_that_all_start_slowly_share_equally() {
    for kind in BY_WEIGHT {
        let mut bench = Bench::with(small(kind), slowly(slow()), &weighted(&[0]));
        bench.updater.apply(&weighted(&[0, 1, 1, 1]), at(1000));
        let counts = bench.counts(3000, 4, at(1000));
        assert!(
            chi_square(&counts[1..], &[1.0; 3]) < 18.0,
            "{kind}: {counts:?}"
        );
    }
}

/// How many of the next hundred connections a new backend gets while the others have ten each.
fn flood(config: BalancerConfig, others: usize) -> usize {
    let mut bench = Bench::with(
        Arc::new(LeastConn::new()),
        config,
        &weighted(&vec![1; others]),
    );
    let mut held: Vec<_> = (0..10 * others).map(|_| bench.pick().unwrap()).collect();
    bench
        .updater
        .apply(&weighted(&vec![1; others + 1]), at(1000));
    for _ in 0..100 {
        held.push(bench.pick_at(&Tried::new(), at(1001)).unwrap());
    }
    held[10 * others..]
        .iter()
        .filter(|pick| number(pick) == others)
        .count()
}

#[test]
fn least_conn_floods_a_new_backend_unless_it_starts_slowly() {
    for others in [4, 40] {
        assert!(flood(BalancerConfig::default(), others) >= 10);
        let found = flood(slowly(slow()), others);
        assert!(
            found < if others == 4 { 30 } else { 25 },
            "{found} among {others}"
        );
    }
}

#[test]
fn ties_do_not_bypass_slow_start() {
    // The others tie at ten connections; the new backend has none, and is always the least loaded.
    let mut bench = Bench::with(
        Arc::new(LeastConn::new()),
        slowly(slow()),
        &weighted(&[1; 9]),
    );
    let held: Vec<_> = (0..90).map(|_| bench.pick().unwrap()).collect();
    bench.updater.apply(&weighted(&[1; 10]), at(1000));
    let counts = bench.counts(2000, 10, at(1000));
    let part = f64::from(counts[9]) / 2000.0;
    assert!(
        (0.07..0.13).contains(&part),
        "{part} where a tenth of its turns are its own"
    );
    drop(held);
}

#[test]
fn a_failure_damps_the_share_and_turns_restore_it() {
    let limit = FailLimit::new(NonZeroU32::new(4).unwrap(), Duration::from_secs(10));
    let snapshot: Snapshot = weighted(&[1000, 1000, 1000])
        .iter()
        .map(|b| b.clone().weight(Weight::new(1000)).fail_limit(Some(limit)))
        .collect();
    let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &snapshot);
    for _ in 0..3 {
        let _ = bench.pick_only(2, 3, at(0)).unwrap().failed(at(0));
    }
    // Three quarters of the weight are missing; every turn of the tier restores one.
    let damped = bench.counts(60, 3, at(0));
    assert!(chi_square(&damped, &[1.0, 1.0, 0.28]) < 18.0, "{damped:?}");
    let _ = bench.counts(700, 3, at(0));
    let whole = bench.counts(300, 3, at(0));
    assert_eq!(whole, [100, 100, 100]);
}
