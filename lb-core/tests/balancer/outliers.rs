//! Outlier detection as in Envoy, and active checks.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::{PolicyKind, WeightedRoundRobin};
use lb_core::{
    BalancerConfig, FailLimit, FailureEffect, Health, OutlierDetection, PickError, PickRequest,
    Snapshot, SplitMix64, Subset, Timestamp, Tried,
};

use crate::support::{Bench, addr, at, backend, small, tried};

const SECOND: Duration = Duration::from_secs(1);

fn half() -> OutlierDetection {
    OutlierDetection::default().max_ejected_percent(50)
}

/// `n` backends without a fail limit.
fn unlimited(n: usize) -> Snapshot {
    (0..n).map(|i| backend(i).fail_limit(None)).collect()
}

fn detecting(n: usize, detection: OutlierDetection) -> Bench {
    let config = BalancerConfig::default().outlier_detection(detection);
    Bench::with(Arc::new(WeightedRoundRobin::new()), config, &unlimited(n))
}

/// Fails a connection to backend number `i` of `n`.
fn fail(bench: &mut Bench, i: usize, n: usize, now: Timestamp) -> FailureEffect {
    bench.pick_only(i, n, now).unwrap().failed(now)
}

/// Fails five connections. The last failure must eject the backend.
fn eject(bench: &mut Bench, i: usize, n: usize, now: Timestamp) {
    let effects: Vec<_> = (0..5).map(|_| fail(bench, i, n, now)).collect();
    assert_eq!(effects[..4], [FailureEffect::Counted; 4]);
    assert_eq!(effects[4], FailureEffect::Ejected);
}

fn ejected_for(bench: &Bench, i: usize, now: Timestamp) -> Option<Duration> {
    let set = bench.balancer.set();
    let status = set.status(now).find(|s| s.backend.addr == addr(i)).unwrap();
    status
        .ejected_until
        .map(|until| until.saturating_since(now))
}

/// Ejections are stored in units of 66 microseconds.
fn assert_lasts(bench: &Bench, i: usize, now: Timestamp, expected: Duration) {
    let found = ejected_for(bench, i, now).unwrap();
    assert!(
        found >= expected && found < expected + Duration::from_micros(66),
        "{found:?}"
    );
}

#[test]
fn five_failures_in_a_row_eject_for_thirty_seconds() {
    for kind in PolicyKind::ALL {
        let config = BalancerConfig::default().outlier_detection(half());
        let mut bench = Bench::with(small(kind), config, &unlimited(4));
        let now = at(100);
        for _ in 0..4 {
            assert_eq!(fail(&mut bench, 1, 4, now), FailureEffect::Counted);
        }
        // A success starts the count again.
        bench.pick_only(1, 4, now).unwrap().connected(now);
        eject(&mut bench, 1, 4, now);
        assert_lasts(&bench, 1, now, 30 * SECOND);
        assert_eq!(bench.counts(200, 4, at(129))[1], 0, "{kind}");
        let refused = bench.pick_only(1, 4, at(129)).map(drop);
        assert_eq!(refused, Err(PickError::Exhausted), "{kind}");
        assert!(bench.pick_only(1, 4, at(131)).is_ok(), "{kind}");
    }
}

#[test]
fn at_most_the_allowed_part_is_ejected() {
    let mut bench = detecting(4, half());
    let now = at(1);
    eject(&mut bench, 0, 4, now);
    eject(&mut bench, 1, 4, now);
    for _ in 0..20 {
        assert_eq!(fail(&mut bench, 2, 4, now), FailureEffect::Counted);
    }
    assert!(bench.pick_only(2, 4, now).is_ok());
    // After one backend has returned, another may be ejected.
    assert_eq!(fail(&mut bench, 2, 4, at(40)), FailureEffect::Ejected);

    let mut few = detecting(9, OutlierDetection::default());
    for _ in 0..20 {
        assert_eq!(
            fail(&mut few, 0, 9, now),
            FailureEffect::Counted,
            "a tenth of nine is none"
        );
    }
    eject(&mut detecting(10, OutlierDetection::default()), 0, 10, now);
}

#[test]
fn threads_that_fail_at_once_eject_at_most_the_allowed_part() {
    let one_failure = OutlierDetection::default()
        .consecutive_failures(1)
        .max_ejected_percent(1);
    for _ in 0..30 {
        let bench = detecting(500, one_failure);
        let fail_often = |seed| {
            let (tried, mut rng) = (Tried::new(), SplitMix64::new(seed));
            for _ in 0..100 {
                let pick = bench
                    .balancer
                    .pick(&PickRequest::new(&tried), at(1), &mut rng);
                let _ = pick.unwrap().failed(at(1));
            }
        };
        std::thread::scope(|scope| {
            for seed in 0..4 {
                scope.spawn(move || fail_often(seed));
            }
        });
        let set = bench.balancer.set();
        let ejected = set.status(at(1)).filter(|s| s.ejected_until.is_some());
        assert!(
            (1..=5).contains(&ejected.count()),
            "a hundredth of 500 is 5"
        );
    }
}

#[test]
fn the_part_counts_backends_that_take_connections() {
    let config = BalancerConfig::default()
        .outlier_detection(half())
        .subset(Subset::new(0, 4));
    let mut bench = Bench::with(Arc::new(WeightedRoundRobin::new()), config, &unlimited(100));
    let mut ejected = 0;
    for n in 0..200 {
        if bench.pick_at(&Tried::new(), at(1)).unwrap().failed(at(1)) == FailureEffect::Ejected {
            ejected += 1;
        }
        assert!(ejected <= 2, "after {n} failures");
    }
    assert_eq!(ejected, 2);
}

#[test]
fn each_ejection_is_longer_and_time_without_one_shortens_the_next() {
    let mut bench = detecting(4, half());
    let mut now = at(1000);
    for times in 1..=3 {
        eject(&mut bench, 3, 4, now);
        assert_lasts(&bench, 3, now, 30 * times * SECOND);
        now = now.saturating_add(30 * times * SECOND + Duration::from_millis(1));
        assert_eq!(ejected_for(&bench, 3, now), None);
    }
    // The third ejection has ended. Two intervals later the next one would count as the second again.
    now = now.saturating_add(20 * SECOND);
    eject(&mut bench, 3, 4, now);
    assert_lasts(&bench, 3, now, 60 * SECOND);

    let short = half().ejection(30 * SECOND, 45 * SECOND);
    let mut bench = detecting(4, short);
    eject(&mut bench, 0, 4, at(1000));
    eject(&mut bench, 0, 4, at(1031));
    assert_lasts(&bench, 0, at(1031), 45 * SECOND);
}

#[test]
fn a_check_that_succeeds_readmits_at_once() {
    let mut bench = detecting(4, half());
    let now = Timestamp::from_nanos(1_234_567_890_123);
    eject(&mut bench, 2, 4, now);
    assert!(
        !bench.check(2, Health::Healthy, now),
        "it was never unhealthy"
    );
    assert!(bench.pick_only(2, 4, now).is_ok());
    // The next ejection is still the second, and longer.
    eject(&mut bench, 2, 4, now);
    assert_lasts(&bench, 2, now, 60 * SECOND);
}

#[test]
fn checks_that_succeed_do_not_hide_connections_that_fail() {
    let mut bench = detecting(4, half());
    for n in 0..4 {
        assert_eq!(fail(&mut bench, 2, 4, at(n)), FailureEffect::Counted);
        bench.check(2, Health::Healthy, at(n));
    }
    assert_eq!(fail(&mut bench, 2, 4, at(4)), FailureEffect::Ejected);
}

#[test]
fn nginxs_limit_and_outlier_detection_work_side_by_side() {
    let limit = FailLimit::new(NonZeroU32::new(2).unwrap(), 10 * SECOND);
    let snapshot: Snapshot = (0..4).map(|i| backend(i).fail_limit(Some(limit))).collect();
    let config = BalancerConfig::default().outlier_detection(half().consecutive_failures(3));
    let mut bench = Bench::with(Arc::new(WeightedRoundRobin::new()), config, &snapshot);
    assert_eq!(fail(&mut bench, 0, 4, at(0)), FailureEffect::Counted);
    assert_eq!(fail(&mut bench, 0, 4, at(0)), FailureEffect::Ejected);
    assert_lasts(&bench, 0, at(0), 10 * SECOND);
    // The trial is the third failure in a row: now both eject, and the longer ejection counts.
    assert_eq!(fail(&mut bench, 0, 4, at(11)), FailureEffect::Ejected);
    assert_lasts(&bench, 0, at(11), 30 * SECOND);
    // A check ends the ejection as an outlier, not that of the limit.
    bench.check(0, Health::Healthy, at(12));
    assert_lasts(&bench, 0, at(12), 9 * SECOND);
}

#[test]
fn an_unhealthy_backend_gets_nothing_until_a_check_succeeds() {
    for kind in PolicyKind::ALL {
        let mut bench = Bench::new(small(kind), &unlimited(3));
        assert!(bench.check(1, Health::Unhealthy, at(1)), "changed");
        assert!(!bench.check(1, Health::Unhealthy, at(2)), "unchanged");
        assert_eq!(bench.counts(100, 3, at(3))[1], 0, "{kind}");
        let set = bench.balancer.set();
        let health: Vec<_> = set.status(at(3)).map(|s| s.health).collect();
        assert_eq!(
            health,
            [Health::Healthy, Health::Unhealthy, Health::Healthy]
        );
        assert!(bench.check(1, Health::Healthy, at(4)));
        assert!(bench.pick_only(1, 3, at(4)).is_ok(), "{kind}");
    }
}

#[test]
fn without_a_healthy_backend_picks_are_refused_and_checks_of_unknown_addresses_ignored() {
    let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &unlimited(2));
    assert!(!bench.check(7, Health::Unhealthy, at(0)), "not known");
    for i in 0..2 {
        bench.check(i, Health::Unhealthy, at(0));
    }
    let refused = bench.pick_at(&tried([]), at(0)).map(drop);
    assert_eq!(refused, Err(PickError::Exhausted));
}

#[test]
fn without_a_limit_a_success_forgives_earlier_failures() {
    let limited = |max_fails: Option<u32>| -> Snapshot {
        let limit = |max| FailLimit::new(NonZeroU32::new(max).unwrap(), Duration::from_secs(10));
        let backends = (0..2).map(|i| backend(i).fail_limit(max_fails.map(limit)));
        backends.collect()
    };
    let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &limited(Some(3)));
    let _ = bench.pick_only(0, 2, at(0)).unwrap().failed(at(0));
    let fails = |bench: &Bench| bench.balancer.set().status(at(1)).next().unwrap().fails;
    assert_eq!(fails(&bench), 1);
    bench.updater.apply(&limited(None), at(1));
    assert_eq!(fails(&bench), 1, "state survives");
    bench.pick_only(0, 2, at(1)).unwrap().connected(at(1));
    assert_eq!(fails(&bench), 0);
}
