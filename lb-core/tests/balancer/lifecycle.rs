//! State across updates, ejection and trial, tiers, drain, leases.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{Bench, addr, at, backend, number, tried, weighted};
use lb_core::policy::{P2c, PolicyKind, WeightedRoundRobin};
use lb_core::{
    AdminState, BackendIndex, Balancer, BalancerConfig, FailLimit, FailureEffect, Pick,
    PickContext, PickError, PickRequest, Picker, Policy, Priority, Snapshot, SplitMix64, Subset,
    Tier, Tried, Weight, balancer,
};

fn wrr(snapshot: &Snapshot) -> Bench {
    Bench::new(Arc::new(WeightedRoundRobin::new()), snapshot)
}

#[test]
fn before_the_first_snapshot_the_balancer_is_not_ready() {
    let (mut updater, balancer) = balancer(Arc::new(P2c::least_conn()));
    let tried = Tried::new();
    let pick = || {
        balancer
            .pick(&PickRequest::new(&tried), at(0), &mut SplitMix64::new(1))
            .map(drop)
    };
    assert_eq!(pick(), Err(PickError::NotReady));
    updater.set_policy(Arc::new(WeightedRoundRobin::new()));
    assert_eq!(pick(), Err(PickError::NotReady));
    let delta = updater.apply(&Snapshot::default(), at(0));
    assert!(delta.is_empty());
    assert_eq!(pick(), Err(PickError::Empty));
}

#[test]
fn in_flight_survives_updates_weights_and_policies() {
    let mut bench = wrr(&weighted(&[1, 1]));
    let held = [bench.pick().unwrap(), bench.pick().unwrap()];
    bench.updater.apply(&weighted(&[3, 0, 1]), at(1));
    assert_eq!(bench.in_flight(), [1, 1, 0]);
    for kind in PolicyKind::ALL {
        bench.updater.set_policy(kind.build());
        assert_eq!(bench.in_flight(), [1, 1, 0]);
    }
    drop(held);
    assert_eq!(bench.in_flight(), [0, 0, 0]);
}

#[test]
fn a_backend_that_returns_has_its_connections() {
    let mut bench = wrr(&weighted(&[1]));
    let held = bench.pick().unwrap();
    bench.updater.apply(&Snapshot::default(), at(1));
    assert_eq!(
        held.backend().addr,
        addr(0),
        "the lease outlives its backend"
    );
    bench.updater.apply(&weighted(&[1]), at(2));
    assert_eq!(bench.in_flight(), [1]);
    drop(held);
    assert_eq!(bench.in_flight(), [0]);
}

#[test]
fn a_new_instance_at_an_old_address_has_new_state() {
    let one = |uid: &str| Snapshot::from_backends([backend(0).instance(uid), backend(1)]);
    let mut bench = wrr(&one("pod-1"));
    let held = bench.pick().unwrap();
    assert_eq!(number(&held), 0);
    let _ = bench.pick_at(&tried([1]), at(0)).unwrap().failed(at(0));
    bench.updater.apply(&one("pod-2"), at(1));
    let set = bench.balancer.set();
    let status = set.status(at(1)).next().unwrap();
    assert_eq!((status.in_flight, status.fails), (0, 0));
    assert_eq!(status.joined_at, at(1));
    drop(held);
    assert_eq!(bench.in_flight(), [0, 0]);
}

#[test]
fn the_round_robin_continues_where_it_was() {
    let mut bench = wrr(&weighted(&[1, 1, 1]));
    assert_eq!(bench.numbers(2), [0, 1]);
    let renamed = weighted(&[1, 1, 1])
        .iter()
        .map(|b| b.clone().name("renamed"))
        .collect();
    let delta = bench.updater.apply(&renamed, at(1));
    assert_eq!(delta.changed.len(), 3);
    bench
        .updater
        .set_policy(Arc::new(WeightedRoundRobin::new()));
    assert_eq!(bench.numbers(2), [2, 0]);
}

#[test]
fn an_equal_snapshot_publishes_nothing() {
    let mut bench = wrr(&weighted(&[1, 2]));
    let before = bench.balancer.set();
    assert!(bench.updater.apply(&weighted(&[1, 2]), at(9)).is_empty());
    assert!(Arc::ptr_eq(&before, &bench.balancer.set()));
}

#[test]
fn a_set_finds_its_backends_by_address() {
    let mut bench = wrr(&weighted(&[1, 0, 2]));
    let set = bench.balancer.set();
    let known: Vec<bool> = (0..4).map(|i| set.contains(addr(i))).collect();
    assert_eq!(known, [true, true, true, false]);
    bench.updater.apply(&Snapshot::default(), at(1));
    assert!(!bench.balancer.set().contains(addr(0)));
    assert!(set.contains(addr(0)), "an old set stays as it was");
}

#[test]
fn a_failure_ejects_and_a_trial_after_the_timeout_readmits() {
    let mut bench = wrr(&weighted(&[1, 1, 1]));
    let first = bench.pick().unwrap();
    assert_eq!(first.failed(at(0)), FailureEffect::Ejected);
    for _ in 0..6 {
        assert_ne!(number(&bench.pick_at(&Tried::new(), at(10)).unwrap()), 0);
    }
    let only_first = tried([1, 2]);
    let trial = bench.pick_at(&only_first, at(11)).unwrap();
    let second = bench.pick_at(&only_first, at(11)).map(drop);
    assert_eq!(second, Err(PickError::Exhausted), "one trial at a time");
    trial.connected(at(11));
    drop(trial);
    assert!(bench.pick_at(&only_first, at(11)).is_ok());
}

#[test]
fn failures_below_the_limit_do_not_eject() {
    let limit = FailLimit::new(NonZeroU32::new(3).unwrap(), Duration::from_secs(10));
    let snapshot = (0..2).map(|i| backend(i).fail_limit(Some(limit))).collect();
    let mut bench = wrr(&snapshot);
    let only_first = tried([1]);
    let mut effects = Vec::new();
    while let Ok(pick) = bench.pick_at(&only_first, at(1)) {
        effects.push(pick.failed(at(1)));
    }
    use FailureEffect::{Counted, Ejected};
    assert_eq!(effects, [Counted, Counted, Ejected]);
}

#[test]
fn no_fail_limit_never_ejects() {
    let snapshot = (0..2).map(|i| backend(i).fail_limit(None)).collect();
    let mut bench = wrr(&snapshot);
    for _ in 0..100 {
        let effect = bench.pick().unwrap().failed(at(0));
        assert_eq!(effect, FailureEffect::Counted);
    }
}

#[test]
fn the_only_backend_is_never_ejected() {
    let drained = backend(1).admin(AdminState::Drain);
    let mut bench = wrr(&Snapshot::from_backends([backend(0), drained]));
    for _ in 0..5 {
        assert_eq!(bench.pick().unwrap().failed(at(0)), FailureEffect::Counted);
    }
    bench.updater.apply(&weighted(&[1, 1]), at(0));
    let effect = bench.pick_at(&tried([1]), at(0)).unwrap().failed(at(0));
    assert_eq!(effect, FailureEffect::Ejected);
}

#[test]
fn a_backend_that_was_the_only_one_is_ejected_after_it_was_drained_or_away() {
    let draining = backend(0).admin(AdminState::Drain);
    for without in [
        Snapshot::from_backends([draining, backend(1), backend(2)]),
        Snapshot::from_backends([backend(1), backend(2)]),
    ] {
        let mut bench = wrr(&weighted(&[1]));
        // A lease keeps the state while its backend is away.
        let lease = bench.pick().unwrap();
        bench.updater.apply(&without, at(0));
        bench.updater.apply(&weighted(&[1, 1, 1]), at(0));
        let effect = bench.pick_only(0, 3, at(0)).unwrap().failed(at(0));
        assert_eq!(effect, FailureEffect::Ejected);
        drop(lease);
    }
}

#[test]
fn the_only_backend_of_a_subset_is_never_ejected() {
    let mut bench = wrr(&weighted(&[1, 1, 1]));
    let of = |size| BalancerConfig::default().subset(Subset::new(4, size));
    bench.updater.set_config(of(1));
    for _ in 0..5 {
        assert_eq!(bench.pick().unwrap().failed(at(0)), FailureEffect::Counted);
    }
    let only = number(&bench.pick().unwrap());
    bench.updater.set_config(of(2));
    // Its limit applies again.
    let others = tried((0..3).filter(|&i| i != only));
    let effect = bench.pick_at(&others, at(0)).unwrap().failed(at(0));
    assert_eq!(effect, FailureEffect::Ejected);
    assert!(bench.pick_at(&others, at(0)).is_err());
    bench.updater.set_config(of(1));
    assert_eq!(number(&bench.pick().unwrap()), only, "spared again");
}

#[test]
fn an_ejection_outlives_an_update() {
    let mut bench = wrr(&weighted(&[1, 1]));
    let _ = bench.pick().unwrap().failed(at(0));
    bench.updater.apply(&weighted(&[5, 1, 1]), at(1));
    let set = bench.balancer.set();
    let status = set.status(at(1)).next().unwrap();
    assert_eq!(status.ejected_until, Some(at(10)));
    assert!(bench.numbers(20).iter().all(|&i| i != 0));
}

#[test]
fn backups_are_picked_only_while_no_primary_is_eligible() {
    let snapshot = Snapshot::from_backends([
        backend(0).priority(Priority::BACKUP),
        backend(1).max_conns(1),
        backend(2).priority(Priority::new(7)),
    ]);
    let mut bench = wrr(&snapshot);
    let primary = bench.pick().unwrap();
    assert_eq!(number(&primary), 1);
    let backup = bench.pick().unwrap();
    assert_eq!(number(&backup), 0);
    let last = bench.pick_at(&tried([0]), at(0)).unwrap();
    assert_eq!(number(&last), 2);
    drop(primary);
    assert_eq!(number(&bench.pick().unwrap()), 1);
}

#[test]
fn drained_and_weightless_backends_get_nothing_and_keep_their_leases() {
    let mut bench = wrr(&weighted(&[1, 1, 1]));
    let held: Vec<_> = (0..3).map(|_| bench.pick().unwrap()).collect();
    let snapshot = Snapshot::from_backends([
        backend(0).weight(Weight::ZERO),
        backend(1).admin(AdminState::Drain),
        backend(2),
    ]);
    bench.updater.apply(&snapshot, at(0));
    assert_eq!(bench.numbers(5), [2; 5]);
    assert_eq!(bench.in_flight(), [1, 1, 1]);
    drop(held);
    assert_eq!(bench.in_flight(), [0, 0, 0]);
}

thread_local! {
    static RIVAL: RefCell<Option<Balancer>> = const { RefCell::new(None) };
    static STOLEN: RefCell<Option<Pick>> = const { RefCell::new(None) };
}

/// Picks the first backend. Between each decision and its lease a rival takes the backend's last connection.
#[derive(Debug)]
struct Unlucky;

impl Policy for Unlucky {
    fn name(&self) -> &'static str {
        "unlucky"
    }

    fn compile(&self, _: &Tier) -> Box<dyn Picker> {
        Box::new(Self)
    }
}

impl Picker for Unlucky {
    fn pick(&self, _: &mut PickContext<'_>) -> Option<BackendIndex> {
        // The rival's own pick has no rival.
        if let Some(rival) = RIVAL.take() {
            drop(STOLEN.take());
            let tried = Tried::new();
            let stolen = rival.pick(&PickRequest::new(&tried), at(0), &mut SplitMix64::new(1));
            STOLEN.set(stolen.ok());
            RIVAL.set(Some(rival));
        }
        Some(BackendIndex::new(0))
    }
}

#[test]
fn a_thread_that_loses_every_race_gets_a_free_backend() {
    let limited = backend(0).max_conns(1);
    let snapshot = Snapshot::from_backends([limited, backend(1)]);
    let mut bench = Bench::new(Arc::new(Unlucky), &snapshot);
    RIVAL.set(Some(bench.balancer.clone()));
    assert_eq!(number(&bench.pick().unwrap()), 1);
    let error = bench.pick_at(&tried([1]), at(0)).map(drop);
    assert_eq!(error, Err(PickError::Exhausted));
    drop((RIVAL.take(), STOLEN.take()));
}
