//! Picks while failures have ejected all backends.

use lb_core::policy::PolicyKind;
use lb_core::{
    BalancerConfig, FailureEffect, Health, OnAllEjected, PickError, PickRequest, Priority,
    Snapshot, SplitMix64, Timestamp, Tried,
};

use crate::support::{Bench, at, backend, number, small, tried, weighted};

const N: usize = 3;

fn config(on_all_ejected: OnAllEjected) -> BalancerConfig {
    BalancerConfig::default().on_all_ejected(on_all_ejected)
}

fn bench(kind: PolicyKind, on_all_ejected: OnAllEjected) -> Bench {
    Bench::with(small(kind), config(on_all_ejected), &weighted(&[1; N]))
}

/// The first `numbers` of `n` backends refuse a connection each.
fn eject(bench: &mut Bench, numbers: usize, n: usize, now: Timestamp) {
    for i in 0..numbers {
        let pick = bench.pick_only(i, n, now).unwrap();
        assert_eq!(pick.failed(now), FailureEffect::Ejected);
    }
}

fn ejected(bench: &Bench, now: Timestamp) -> Vec<bool> {
    let set = bench.balancer.set();
    let status = set.status(now);
    status.map(|one| one.ejected_until.is_some()).collect()
}

fn refusal(bench: &mut Bench, tried: &Tried, now: Timestamp) -> Option<PickError> {
    bench.pick_at(tried, now).err()
}

#[test]
fn with_every_policy_a_connection_gets_an_ejected_backend_and_its_success_ends_the_ejection() {
    for kind in PolicyKind::ALL {
        let mut bench = bench(kind, OnAllEjected::Try);
        eject(&mut bench, N, N, at(1));
        let pick = bench.pick_key(b"key", &Tried::new(), at(2)).unwrap();
        let first = number(&pick);
        let failed = tried([first]);
        assert_eq!(pick.failed(at(2)), FailureEffect::Ejected, "{kind}");
        let pick = bench.pick_key(b"key", &failed, at(2)).unwrap();
        let second = number(&pick);
        assert_ne!(first, second, "{kind}");
        pick.connected(at(2));
        let expected: Vec<bool> = (0..N).map(|i| i != second).collect();
        assert_eq!(ejected(&bench, at(2)), expected, "{kind}");
        // From now on it is the only one that may be picked.
        for _ in 0..4 {
            assert_eq!(
                number(&bench.pick_at(&Tried::new(), at(3)).unwrap()),
                second
            );
        }
        assert!(
            refusal(&mut bench, &tried([second]), at(3)).is_some(),
            "{kind}"
        );
    }
}

#[test]
fn with_refuse_connections_wait_for_the_end_of_the_first_ejection_as_in_nginx() {
    for kind in PolicyKind::ALL {
        let mut bench = bench(kind, OnAllEjected::Refuse);
        eject(&mut bench, N, N, at(1));
        let refused = refusal(&mut bench, &Tried::new(), at(10));
        assert_eq!(refused, Some(PickError::Exhausted), "{kind}");
        assert!(bench.pick_at(&Tried::new(), at(12)).is_ok(), "{kind}");
    }
}

#[test]
fn one_connection_tries_at_most_four_backends() {
    let mut bench = Bench::with(
        small(PolicyKind::WeightedRoundRobin),
        config(OnAllEjected::Try),
        &weighted(&[1; 6]),
    );
    eject(&mut bench, 6, 6, at(1));
    let mut failed = Tried::new();
    for _ in 0..4 {
        let pick = bench.pick_at(&failed, at(2)).unwrap();
        assert!(!failed.contains(pick.addr()));
        failed.insert(pick.addr());
        let _ = pick.failed(at(2));
    }
    assert!(refusal(&mut bench, &failed, at(2)).is_some());
}

#[test]
fn no_backend_is_tried_while_one_is_up_full_or_only_unhealthy() {
    let full = backend(0).max_conns(1);
    let set = Snapshot::from_backends([full, backend(1)]);
    let policy = small(PolicyKind::WeightedRoundRobin);
    let mut bench = Bench::with(policy, config(OnAllEjected::Try), &set);
    let held = bench.pick_only(0, 2, at(1)).unwrap();
    let _ = bench.pick_only(1, 2, at(1)).unwrap().failed(at(1));
    assert!(refusal(&mut bench, &Tried::new(), at(2)).is_some(), "full");
    drop(held);

    let mut bench = self::bench(PolicyKind::WeightedRoundRobin, OnAllEjected::Try);
    eject(&mut bench, 2, N, at(1));
    bench.check(2, Health::Unhealthy, at(1));
    for _ in 0..4 {
        let pick = bench.pick_at(&Tried::new(), at(2)).unwrap();
        assert_ne!(number(&pick), 2, "unhealthy");
    }
    for i in 0..2 {
        bench.check(i, Health::Unhealthy, at(2));
    }
    assert!(
        refusal(&mut bench, &Tried::new(), at(2)).is_some(),
        "unhealthy"
    );
}

#[test]
fn the_most_preferred_tier_is_tried_first() {
    let set = Snapshot::from_backends([
        backend(0).priority(Priority::BACKUP),
        backend(1),
        backend(2).priority(Priority::BACKUP),
    ]);
    let policy = small(PolicyKind::LeastConn);
    let mut bench = Bench::with(policy, config(OnAllEjected::Try), &set);
    eject(&mut bench, N, N, at(1));
    for _ in 0..3 {
        assert_eq!(number(&bench.pick_at(&Tried::new(), at(2)).unwrap()), 1);
    }
    let next = bench.pick_at(&tried([1]), at(2)).unwrap();
    assert_ne!(number(&next), 1);
}

#[test]
fn what_is_explained_is_the_pick() {
    for kind in PolicyKind::ALL {
        let mut bench = bench(kind, OnAllEjected::Try);
        eject(&mut bench, N, N, at(1));
        let nothing = Tried::new();
        let request = PickRequest::new(&nothing).key(b"key");
        let explained = bench
            .balancer
            .explain(&request, at(2), &mut bench.rng.clone())
            .unwrap();
        let mut rng: SplitMix64 = bench.rng.clone();
        let pick = bench.balancer.pick(&request, at(2), &mut rng).unwrap();
        assert_eq!(explained.chosen, Some(pick.addr()), "{kind}");
    }
}

#[test]
fn failures_without_an_answer_are_left_to_the_outage() {
    let mut bench = bench(PolicyKind::WeightedRoundRobin, OnAllEjected::Try);
    for i in 0..N {
        let pick = bench.pick_only(i, N, at(1)).unwrap();
        let _ = pick.unanswered(at(1));
    }
    assert!(
        refusal(&mut bench, &Tried::new(), at(2)).is_some(),
        "it is noticed"
    );
    assert!(
        refusal(&mut bench, &Tried::new(), at(2)).is_some(),
        "too early"
    );
    assert!(bench.pick_at(&Tried::new(), at(3)).is_ok(), "the trial");
    assert!(refusal(&mut bench, &Tried::new(), at(3)).is_some());
    // Not without the setting.
    let lasting = config(OnAllEjected::Try).common_outage(None);
    bench.updater.set_config(lasting);
    assert!(bench.pick_at(&Tried::new(), at(3)).is_ok());
}
