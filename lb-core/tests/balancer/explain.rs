//! `explain`: the verdict on each backend for a connection.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::{BalanceFactor, Ketama, LeastConn, Maglev, PolicyKind, WeightedRoundRobin};
use lb_core::{
    AdminState, Backend, BalancerConfig, Explanation, FailLimit, Health, OutlierDetection,
    PickRequest, Policy, Priority, SlowStart, Snapshot, SplitMix64, Subset, Tried, Verdict, Weight,
    ZonePreference, balancer,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use crate::support::{Bench, addr, at, backend, number, small, tried};

#[test]
fn before_the_first_snapshot_there_is_nothing_to_explain() {
    let (_updater, balancer) = balancer(PolicyKind::P2c.build());
    let tried = Tried::new();
    let explained = balancer.explain(&PickRequest::new(&tried), at(0), &mut SplitMix64::new(1));
    assert_eq!(explained.map(drop), Err(lb_core::PickError::NotReady));
}

#[test]
fn every_verdict_is_explained() {
    let snapshot = [
        backend(0).admin(AdminState::Drain),
        backend(1).weight(Weight::ZERO),
        backend(2).max_conns(1),
        backend(3),
        backend(4),
        backend(5),
        backend(6).name("good").source("list"),
        backend(7).priority(Priority::BACKUP),
        backend(8),
    ];
    let policy = Arc::new(WeightedRoundRobin::new());
    let mut bench = Bench::new(policy, &snapshot.into_iter().collect());
    bench.check(8, Health::Unchecked, at(0));
    let full = bench.pick_only(2, 9, at(0)).unwrap();
    let _ = bench.pick_only(3, 9, at(0)).unwrap().failed(at(0));
    bench.check(4, Health::Unhealthy, at(0));
    let tried = tried([5]);
    let explained = |bench: &mut Bench| {
        let request = PickRequest::new(&tried);
        bench
            .balancer
            .explain(&request, at(5), &mut bench.rng)
            .unwrap()
    };
    let found = explained(&mut bench);
    let until = found.backends[3].verdict;
    assert!(
        matches!(until, Verdict::Ejected { until } if until >= at(10)),
        "{until:?}"
    );
    let verdicts: Vec<_> = found.backends.iter().map(|b| b.verdict).collect();
    use Verdict::{Draining, Eligible, Full, Tried, Unchecked, Unhealthy, ZeroWeight};
    assert_eq!(verdicts[..3], [Draining, ZeroWeight, Full]);
    assert_eq!(
        verdicts[4..],
        [Unhealthy, Tried, Eligible, Eligible, Unchecked]
    );
    assert_eq!(found.chosen, Some(addr(6)));
    assert_eq!(found.backends[2].in_flight, 1);
    let text = found.to_string();
    assert_eq!(text.lines().count(), 9, "{text}");
    let good = format!(
        "-> {} (good) from list: eligible, priority 0 with 100 % of connections, weight 1, 0 in flight",
        addr(6)
    );
    assert_eq!(text.lines().nth(6), Some(&*good));
    assert!(
        text.contains("of weight 0") && text.contains("draining"),
        "{text}"
    );

    let config = BalancerConfig::default().subset(Subset::new(0, 2));
    bench.updater.set_config(config);
    let found = explained(&mut bench);
    let outside = found
        .backends
        .iter()
        .filter(|b| b.verdict == Verdict::NotInSubset);
    assert_eq!(outside.count(), 4, "{found}");
    drop(full);
}

#[test]
fn the_verdict_that_all_backends_share_is_reported() {
    let snapshot = [
        backend(0).admin(AdminState::Drain),
        backend(1).max_conns(1),
        backend(2).max_conns(1),
    ];
    let policy = Arc::new(WeightedRoundRobin::new());
    let mut bench = Bench::new(policy, &snapshot.into_iter().collect());
    let shared = |bench: &Bench, has_tried: &[usize]| {
        let tried = tried(has_tried.iter().copied());
        let request = PickRequest::new(&tried);
        bench.balancer.shared_verdict(&request, at(1))
    };
    assert_eq!(shared(&bench, &[]), Some(Verdict::Eligible));
    assert_eq!(shared(&bench, &[1]), None);
    assert_eq!(shared(&bench, &[1, 2]), Some(Verdict::Tried));
    let full = [1, 2].map(|i| bench.pick_only(i, 3, at(0)).unwrap());
    assert_eq!(shared(&bench, &[]), Some(Verdict::Full));
    drop(full);
    for health in [Health::Unchecked, Health::Unhealthy] {
        bench.check(1, health, at(0));
        bench.check(2, health, at(0));
        let verdict = match health {
            Health::Unchecked => Verdict::Unchecked,
            _ => Verdict::Unhealthy,
        };
        assert_eq!(shared(&bench, &[]), Some(verdict));
    }
    bench.check(2, Health::Unchecked, at(0));
    assert_eq!(shared(&bench, &[]), None);
    for i in [1, 2] {
        bench.check(i, Health::Healthy, at(0));
    }
    let _ = bench.pick_only(1, 3, at(0)).unwrap().failed(at(0));
    let _ = bench.pick_only(2, 3, at(1)).unwrap().failed(at(1));
    let Some(Verdict::Ejected { until }) = shared(&bench, &[]) else {
        panic!("{:?}", shared(&bench, &[]));
    };
    assert!(until > at(1));
    let drained = [backend(0).admin(AdminState::Drain)];
    bench.updater.apply(&drained.into_iter().collect(), at(2));
    assert_eq!(shared(&bench, &[]), None);
}

#[test]
fn candidates_for_waiting_are_reported() {
    let snapshot = [
        backend(0).admin(AdminState::Drain),
        backend(1).max_conns(1),
        backend(2),
    ];
    let policy = Arc::new(WeightedRoundRobin::new());
    let mut bench = Bench::new(policy, &snapshot.into_iter().collect());
    let may_wait = |bench: &Bench, has_tried: &[usize]| {
        let tried = tried(has_tried.iter().copied());
        bench
            .balancer
            .has_candidate(&PickRequest::new(&tried), at(1))
    };
    bench.check(2, Health::Unhealthy, at(0));
    let full = bench.pick_only(1, 3, at(0)).unwrap();
    assert!(may_wait(&bench, &[]), "full");
    assert!(!may_wait(&bench, &[1]), "tried");
    drop(full);
    assert!(may_wait(&bench, &[]), "free again");
    bench.check(1, Health::Unhealthy, at(0));
    assert!(!may_wait(&bench, &[]), "unhealthy");
    bench.check(2, Health::Healthy, at(0));
    assert!(may_wait(&bench, &[]), "healthy");
    let config = BalancerConfig::default().subset(Subset::new(0, 1));
    bench.updater.set_config(config);
    let hosts = [&[1][..], &[2]];
    assert!(
        hosts.iter().any(|tried| !may_wait(&bench, tried)),
        "outside the subset"
    );
}

#[test]
fn bounds_and_slow_starts_are_explained() {
    let policy = Maglev::try_new(251).unwrap();
    let policy = Arc::new(policy.balance_factor(BalanceFactor::percent(125)));
    let snapshot: Snapshot = (0..3).map(backend).collect();
    let mut bench = Bench::new(policy, &snapshot);
    let held: Vec<_> = (0..3)
        .map(|_| bench.pick_key(b"key", &Tried::new(), at(0)).unwrap())
        .collect();
    let explained = |bench: &mut Bench, now| {
        let tried = Tried::new();
        let request = PickRequest::new(&tried).key(b"key");
        let found = bench.balancer.explain(&request, now, &mut bench.rng);
        found.unwrap()
    };
    // 1.25 times 4 connections are 5 for three backends.
    let found = explained(&mut bench, at(0));
    let verdicts = || found.backends.iter().map(|b| (b.in_flight, b.verdict));
    let most = verdicts().map(|(in_flight, _)| in_flight).max().unwrap();
    assert_eq!(most, 1, "the bound spreads them");
    drop(held);
    let _held: Vec<_> = (0..2)
        .map(|_| bench.pick_only(0, 3, at(0)).unwrap())
        .collect();
    let found = explained(&mut bench, at(0));
    assert_eq!(found.backends[0].verdict, Verdict::AboveBound, "{found}");
    assert!(found.to_string().contains("above its bound"), "{found}");
    assert_eq!(found.backends[1].verdict, Verdict::Eligible, "{found}");

    let slow_start = SlowStart::new(Duration::from_secs(100));
    bench
        .updater
        .set_config(BalancerConfig::default().slow_start(slow_start));
    let more: Snapshot = (0..4).map(backend).collect();
    bench.updater.apply(&more, at(10));
    let found = explained(&mut bench, at(60));
    let percents = found.backends.iter().map(|b| b.slow_start_percent);
    assert_eq!(percents.collect::<Vec<_>>(), [None, None, None, Some(50)]);
    assert!(
        found.to_string().contains("taking 50 % of its turns"),
        "{found}"
    );
}

#[test]
fn panic_and_spill_are_explained() {
    let snapshot: Snapshot = (0..4)
        .map(|i| backend(i).priority(Priority::new(u8::from(i >= 2))))
        .collect();
    let config = BalancerConfig::default()
        .overprovisioning(100)
        .panic_threshold(60);
    let mut bench = Bench::with(Arc::new(WeightedRoundRobin::new()), config, &snapshot);
    let explained = |bench: &mut Bench| {
        let tried = Tried::new();
        let request = PickRequest::new(&tried);
        let found = bench
            .balancer
            .explain(&request, at(1), &mut bench.rng)
            .unwrap();
        let each = found.backends.iter().map(|b| (b.tier_percent, b.panic));
        (each.collect::<Vec<_>>(), found.to_string())
    };
    assert_eq!(
        explained(&mut bench).0,
        [(100, false), (100, false), (0, false), (0, false)]
    );
    bench.check(0, Health::Unhealthy, at(0));
    // The tiers together are healthy enough.
    assert_eq!(
        explained(&mut bench).0,
        [(50, false), (50, false), (50, false), (50, false)]
    );
    bench.check(2, Health::Unhealthy, at(0));
    bench.check(3, Health::Unhealthy, at(0));
    let (each, text) = explained(&mut bench);
    assert_eq!(each, [(50, true); 4], "{text}");
    assert_eq!(text.matches("panic mode").count(), 4, "{text}");
    assert_eq!(text.matches("eligible").count(), 4, "{text}");
}

fn policies() -> Vec<Arc<dyn Policy>> {
    let bound = BalanceFactor::percent(125);
    let mut policies: Vec<Arc<dyn Policy>> = PolicyKind::ALL.into_iter().map(small).collect();
    policies.push(Arc::new(Ketama::new().balance_factor(bound)));
    policies.push(Arc::new(
        Maglev::try_new(2039).unwrap().balance_factor(bound),
    ));
    policies
}

fn configs() -> impl Strategy<Value = BalancerConfig> {
    any::<[bool; 6]>().prop_map(|[outliers, spill, panic, slow, subset, zone]| {
        let mut config = BalancerConfig::default();
        if outliers {
            let detection = OutlierDetection::default().max_ejected_percent(60);
            config = config.outlier_detection(detection.consecutive_failures(2));
        }
        if spill {
            config = config.overprovisioning(140);
        }
        if panic {
            config = config.panic_threshold(50);
        }
        if slow {
            config = config.slow_start(SlowStart::new(Duration::from_secs(100)));
        }
        if subset {
            config = config.subset(Subset::new(2, 5));
        }
        if zone {
            config = config.zone(ZonePreference::new("a"));
        }
        config
    })
}

fn any_backend() -> impl Strategy<Value = Backend> {
    (0..8_usize, 0..4_u16, 0..6_u8, any::<bool>()).prop_map(|(i, weight, kind, near)| {
        let limit = FailLimit::new(NonZeroU32::new(3).unwrap(), Duration::from_secs(10));
        let plain = backend(i)
            .weight(Weight::new(weight))
            .fail_limit(Some(limit))
            .zone(if near { "a" } else { "b" });
        match kind {
            0 => plain.priority(Priority::BACKUP),
            1 => plain.max_conns(2),
            // In ketama several backends of one name take turns.
            2 | 3 => plain.name("shared"),
            4 => plain.admin(AdminState::Drain),
            _ => plain,
        }
    })
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Fail(usize),
    Connect(usize),
    Check(usize, Health),
    Join(Vec<Backend>),
}

/// A step, the key of the next connection, and the numbers of the backends that it has tried.
type PlannedStep = (Step, Option<[u8; 2]>, Vec<usize>);

fn any_health() -> impl Strategy<Value = Health> {
    let all = vec![Health::Healthy, Health::Unchecked, Health::Unhealthy];
    proptest::sample::select(all)
}

fn steps() -> impl Strategy<Value = Vec<PlannedStep>> {
    let step = prop_oneof![
        (0..20_u64).prop_map(Step::Pass),
        any::<usize>().prop_map(Step::Fail),
        any::<usize>().prop_map(Step::Connect),
        (0..8_usize, any_health()).prop_map(|(i, health)| Step::Check(i, health)),
        vec(any_backend(), 1..10).prop_map(Step::Join),
    ];
    vec(
        (step, any::<Option<[u8; 2]>>(), vec(0..8_usize, 0..3)),
        1..40,
    )
}

#[test]
fn explained_and_picked_are_the_same_in_ten_thousand_states() {
    let states = Cell::new(0);
    let plans = (
        proptest::sample::select(policies()),
        configs(),
        vec(any_backend(), 1..12),
        steps(),
    );
    // Of 20 states on average.
    let mut runner = TestRunner::new(ProptestConfig::with_cases(640));
    let outcome = runner.run(&plans, |(policy, config, backends, steps)| {
        states.set(states.get() + steps.len());
        explained_and_picked(policy, config, backends, steps)
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(states.get() >= 10_000, "{} states", states.get());
}

/// Explains before each pick of a history, and compares.
fn explained_and_picked(
    policy: Arc<dyn Policy>,
    config: BalancerConfig,
    backends: Vec<Backend>,
    steps: Vec<PlannedStep>,
) -> Result<(), TestCaseError> {
    let mut bench = Bench::with(policy, config, &backends.into_iter().collect());
    let (mut now, mut held) = (at(0), Vec::new());
    for (step, key, numbers) in steps {
        match step {
            Step::Pass(seconds) => now = now.saturating_add(Duration::from_secs(seconds)),
            Step::Fail(i) if !held.is_empty() => {
                let pick: lb_core::Pick = held.swap_remove(i % held.len());
                let _ = pick.failed(now);
            }
            Step::Connect(i) if !held.is_empty() => held[i % held.len()].connected(now),
            Step::Check(i, health) => {
                bench.check(i, health, now);
            }
            Step::Join(backends) => {
                bench.updater.apply(&backends.into_iter().collect(), now);
            }
            _ => {}
        }
        let tried = tried(numbers);
        let mut request = PickRequest::new(&tried);
        if let Some(key) = &key {
            request = request.key(key);
        }
        let explained = bench
            .balancer
            .explain(&request, now, &mut bench.rng.clone())
            .unwrap();
        let again = bench
            .balancer
            .explain(&request, now, &mut bench.rng.clone())
            .unwrap();
        prop_assert_eq!(explained.to_string(), again.to_string());
        let shared = bench.balancer.shared_verdict(&request, now);
        prop_assert!(agrees(shared, &explained), "{:?}: {}", shared, explained);
        let picked = bench.balancer.pick(&request, now, &mut bench.rng);
        prop_assert_eq!(
            explained.chosen,
            picked.as_ref().ok().map(lb_core::Pick::addr),
            "{}",
            explained
        );
        if let Ok(pick) = picked {
            let of = explained
                .backends
                .iter()
                .find(|b| b.backend.addr == pick.addr())
                .unwrap();
            let taken = [Verdict::Eligible, Verdict::AboveBound];
            // An ejected one only while no other backend may be picked.
            let mut all = explained.backends.iter();
            let is_last = matches!(of.verdict, Verdict::Ejected { .. })
                && !all.any(|one| taken.contains(&one.verdict));
            prop_assert!(taken.contains(&of.verdict) || is_last, "{}", explained);
            held.push(pick);
        }
    }
    Ok(())
}

/// Whether the explanation has the verdict that all backends are said to share, but for those in no tier.
fn agrees(shared: Option<Verdict>, explained: &Explanation) -> bool {
    let verdicts = explained.backends.iter().map(|b| b.verdict);
    let mut in_tiers = verdicts.filter(|verdict| {
        !matches!(
            verdict,
            Verdict::Draining | Verdict::NotInSubset | Verdict::ZeroWeight
        )
    });
    match shared {
        None => true,
        Some(Verdict::Eligible) => {
            in_tiers.all(|verdict| matches!(verdict, Verdict::Eligible | Verdict::AboveBound))
        }
        Some(Verdict::Ejected { .. }) => {
            in_tiers.all(|verdict| matches!(verdict, Verdict::Ejected { .. }))
        }
        Some(shared) => in_tiers.all(|verdict| verdict == shared),
    }
}

/// Two balancers with the same events; one of them explains between all picks.
#[test]
fn explaining_changes_nothing() {
    for n in [5, 60] {
        for policy in policies()
            .into_iter()
            .chain([Arc::new(LeastConn::new()) as _])
        {
            let snapshot: Snapshot = (0..n)
                .map(|i| {
                    let limit = FailLimit::new(NonZeroU32::new(4).unwrap(), Duration::from_secs(9));
                    let plain = backend(i).weight(Weight::new(1 + i as u16 % 3));
                    plain.fail_limit(Some(limit))
                })
                .collect();
            let [mut asked, mut quiet] = [(); 2].map(|()| Bench::new(policy.clone(), &snapshot));
            let (mut held, mut others) = (Vec::new(), Vec::new());
            for step in 0..200_u64 {
                let (key, none) = (step.to_le_bytes(), Tried::new());
                let request = PickRequest::new(&none).key(&key);
                let explained = [(); 3].map(|()| {
                    let mut rng = asked.rng.clone();
                    asked
                        .balancer
                        .explain(&request, at(step), &mut rng)
                        .unwrap()
                        .chosen
                });
                let one = asked.pick_key(&key, &none, at(step)).unwrap();
                let other = quiet.pick_key(&key, &none, at(step)).unwrap();
                let place = format!("{}, step {step}", policy.name());
                assert_eq!(explained, [Some(one.addr()); 3], "{place}");
                assert_eq!(number(&one), number(&other), "{place}");
                if step % 5 == 0 {
                    assert_eq!(one.failed(at(step)), other.failed(at(step)));
                } else {
                    one.connected(at(step));
                    other.connected(at(step));
                    held.push(one);
                    others.push(other);
                }
                if step % 3 == 0 && !held.is_empty() {
                    let i = step as usize % held.len();
                    drop((held.swap_remove(i), others.swap_remove(i)));
                }
            }
        }
    }
}
