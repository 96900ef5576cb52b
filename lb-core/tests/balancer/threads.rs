//! Races between threads: afterwards the load index is exact again.

use std::collections::VecDeque;
use std::sync::Arc;

use lb_core::policy::{BalanceFactor, LeastConn, Maglev};
use lb_core::{Pick, PickError, PickRequest, Policy, SplitMix64, Timestamp, Tried};

use crate::support::{Bench, at, number, weighted};

const BACKENDS: usize = 100;

/// Reports that the connection was established, which ends a trial.
fn connected(pick: Result<Pick, PickError>, now: Timestamp) -> Pick {
    let pick = pick.unwrap();
    pick.connected(now);
    pick
}

/// Four threads pick and release, with some failures in between, until all leases have ended.
fn race(bench: &Bench) {
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let balancer = bench.balancer.clone();
            scope.spawn(move || {
                let mut rng = SplitMix64::new(seed);
                let mut held: VecDeque<Pick> = VecDeque::new();
                let tried = Tried::new();
                for n in 0..4000_u32 {
                    let key = n.wrapping_mul(0x9e37_79b9).to_le_bytes();
                    let request = PickRequest::new(&tried).key(&key);
                    held.push_back(balancer.pick(&request, at(0), &mut rng).unwrap());
                    if held.len() > 60 {
                        let oldest = held.pop_front().unwrap();
                        if n % 1000 == seed as u32 {
                            let _ = oldest.failed(at(0));
                        }
                    }
                }
            });
        }
    });
}

fn raced(policy: Arc<dyn Policy>) -> Bench {
    let bench = Bench::new(policy, &weighted(&[1; BACKENDS]));
    race(&bench);
    assert_eq!(bench.in_flight(), [0; BACKENDS]);
    bench
}

#[test]
fn least_conn_is_exact_again() {
    let mut bench = raced(Arc::new(LeastConn::new()));
    // The ejections are over.
    let now = at(20);
    for round in 1..=3 {
        let mut held: Vec<Pick> = (0..BACKENDS)
            .map(|_| connected(bench.pick_at(&Tried::new(), now), now))
            .collect();
        assert_eq!(bench.in_flight(), [1; BACKENDS], "round {round}");
        // The backend whose connection ends is the only idle one, and gets the next.
        for n in 0..50 {
            let ended = held.remove((n * 37) % held.len());
            let i = number(&ended);
            drop(ended);
            let next = bench.pick_at(&Tried::new(), now).unwrap();
            assert_eq!(number(&next), i, "round {round}");
            held.push(next);
        }
    }
}

#[test]
fn a_race_with_updates_loses_no_lease() {
    let mut bench = Bench::new(Arc::new(LeastConn::new()), &weighted(&[1; BACKENDS]));
    std::thread::scope(|scope| {
        let raced = Bench {
            updater: lb_core::balancer(Arc::new(LeastConn::new())).0,
            balancer: bench.balancer.clone(),
            rng: SplitMix64::new(1),
        };
        let racing = scope.spawn(move || race(&raced));
        let mut heavy = 0;
        while !racing.is_finished() {
            heavy = (heavy + 1) % BACKENDS;
            let weights: Vec<u16> = (0..BACKENDS).map(|i| 1 + u16::from(i == heavy)).collect();
            bench.updater.apply(&weighted(&weights), at(0));
        }
    });
    bench.updater.apply(&weighted(&[1; BACKENDS]), at(0));
    let held: Vec<Pick> = (0..BACKENDS)
        .map(|_| connected(bench.pick_at(&Tried::new(), at(20)), at(20)))
        .collect();
    assert_eq!(bench.in_flight(), [1; BACKENDS]);
    drop(held);
}

#[test]
fn the_total_of_bounded_loads_is_right_again() {
    let bounded = Maglev::try_new(2039).unwrap();
    let mut bench = raced(Arc::new(
        bounded.balance_factor(BalanceFactor::percent(200)),
    ));
    // With a total of 0 there is room for one connection each, for any key; with a total too large there is more.
    let now = at(20);
    for i in 0..BACKENDS {
        drop(connected(bench.pick_only(i, BACKENDS, now), now));
    }
    let mut held: Vec<Pick> = Vec::new();
    for total in 0..BACKENDS as u32 {
        let pick = bench.pick_key(b"popular", &Tried::new(), now);
        held.push(connected(pick, now));
        let most = bench.in_flight().into_iter().max().unwrap();
        let room = (2 * (total + 1)).div_ceil(BACKENDS as u32).max(1);
        assert!(most <= room, "{most} of {room} with {total} before");
    }
}
