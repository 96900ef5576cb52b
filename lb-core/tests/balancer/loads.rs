//! Drain, weight 0 and `max_conns` together; bounded load.

use std::collections::BTreeMap;
use std::sync::Arc;

use lb_core::policy::{BalanceFactor, Ketama, Maglev, PolicyKind, Rendezvous, RingHash};
use lb_core::{AdminState, Pick, PickError, Policy, Snapshot, Tried, Weight};
use proptest::prelude::*;

use crate::support::{Bench, addr, at, backend, number, small, weighted};

/// The policies that can be bounded.
fn hashing(factor: BalanceFactor) -> [Arc<dyn Policy>; 4] {
    [
        Arc::new(Ketama::new().balance_factor(factor)),
        Arc::new(Maglev::try_new(2039).unwrap().balance_factor(factor)),
        Arc::new(Rendezvous::new().balance_factor(factor)),
        Arc::new(RingHash::new().balance_factor(factor)),
    ]
}

#[test]
fn drained_weightless_and_full_backends_leave_the_rest_usable() {
    for kind in PolicyKind::ALL {
        let limited = |i| backend(i).max_conns(2);
        let snapshot = [
            limited(0).admin(AdminState::Drain),
            limited(1).weight(Weight::ZERO),
            limited(2),
            limited(3).weight(Weight::new(9)),
        ];
        let mut bench = Bench::new(small(kind), &snapshot.clone().into_iter().collect());
        let held: Vec<Pick> = (0..4).map(|_| bench.pick().unwrap()).collect();
        assert_eq!(bench.in_flight(), [0, 0, 2, 2], "{kind}");
        assert_eq!(bench.pick().map(drop), Err(PickError::Exhausted), "{kind}");
        // One drained backend is ready again, a full one is drained, and the other's limit falls below its connections.
        let [zero, one, two, three] = snapshot;
        let next = [
            zero.admin(AdminState::Ready),
            one,
            two.admin(AdminState::Drain),
            three.max_conns(1),
        ];
        bench.updater.apply(&next.into_iter().collect(), at(1));
        let more: Vec<Pick> = (0..2).map(|_| bench.pick().unwrap()).collect();
        assert_eq!(bench.in_flight(), [2, 0, 2, 2], "{kind}");
        assert_eq!(bench.pick().map(drop), Err(PickError::Exhausted), "{kind}");
        // Of the two connections of number 3, one may end without making room.
        let mut threes: Vec<Pick> = held.into_iter().filter(|p| number(p) == 3).collect();
        threes.pop();
        assert_eq!(bench.pick().map(drop), Err(PickError::Exhausted), "{kind}");
        threes.pop();
        assert_eq!(number(&bench.pick().unwrap()), 3, "{kind}");
        drop(more);
        assert_eq!(bench.in_flight(), [0; 4], "{kind}");
    }
}

#[test]
fn a_limit_counts_connections_that_were_there_before() {
    for kind in PolicyKind::ALL {
        let mut bench = Bench::new(small(kind), &weighted(&[1, 1]));
        let mut held: Vec<Pick> = (0..3)
            .map(|_| bench.pick_only(0, 2, at(0)).unwrap())
            .collect();
        let limited = |max| -> Snapshot {
            [backend(0).max_conns(max), backend(1)]
                .into_iter()
                .collect()
        };
        bench.updater.apply(&limited(4), at(1));
        held.push(bench.pick_only(0, 2, at(1)).unwrap());
        assert!(
            bench.pick_only(0, 2, at(1)).is_err(),
            "{kind}: four of four"
        );
        // A connection from before ends: there is room again, for one.
        drop(held.remove(0));
        held.push(bench.pick_only(0, 2, at(1)).unwrap());
        assert!(
            bench.pick_only(0, 2, at(1)).is_err(),
            "{kind}: four of four"
        );
        // Without and with the limit again.
        bench.updater.apply(&weighted(&[1, 1]), at(2));
        held.push(bench.pick_only(0, 2, at(2)).unwrap());
        bench.updater.apply(&limited(6), at(3));
        held.push(bench.pick_only(0, 2, at(3)).unwrap());
        assert!(bench.pick_only(0, 2, at(3)).is_err(), "{kind}: six of six");
        drop(held);
        assert_eq!(bench.in_flight(), [0, 0], "{kind}");
    }
}

proptest! {
    /// While every backend is eligible, none is picked that has as many connections as its share allows by HAProxy's formula.
    #[test]
    fn nobody_is_above_its_room_when_picked(
        policy in 0..4_usize,
        weights in proptest::collection::vec(1..6_u16, 1..9),
        factor in prop_oneof![Just(101_u16), Just(125), Just(200)],
        steps in proptest::collection::vec((any::<u8>(), 0..3_u8), 1..80),
    ) {
        let policy = hashing(BalanceFactor::percent(factor))[policy].clone();
        let mut bench = Bench::new(policy, &weighted(&weights));
        let sum: u64 = weights.iter().copied().map(u64::from).sum();
        let mut held: Vec<Pick> = Vec::new();
        for (key, ends) in steps {
            for _ in 0..ends / 2 {
                if !held.is_empty() {
                    drop(held.swap_remove(usize::from(key) % held.len()));
                }
            }
            let before = bench.in_flight();
            let total = held.len() as u64;
            prop_assert_eq!(u64::from(before.iter().sum::<u32>()), total);
            // With few keys, connections accumulate on few backends.
            let pick = bench.pick_key(&[key % 3], &Tried::new(), at(0)).unwrap();
            let i = number(&pick);
            let all = ((total + 1) * u64::from(factor)).div_ceil(100);
            let behind: u64 = weights[..i].iter().copied().map(u64::from).sum();
            let up_to = |weight: u64| weight * all / sum;
            let room = (up_to(behind + u64::from(weights[i])) - up_to(behind)).max(1);
            prop_assert!(u64::from(before[i]) < room, "{} of {}: {:?}", i, room, before);
            held.push(pick);
        }
    }
}

#[test]
fn keys_return_to_their_backend_when_the_load_falls() {
    let factor = BalanceFactor::percent(125);
    for (policy, plain) in hashing(factor)
        .into_iter()
        .zip(hashing(BalanceFactor::NONE))
    {
        let name = policy.name();
        let mut bench = Bench::new(policy, &weighted(&[1; 8]));
        let home = number(&bench.pick_key(b"popular", &Tried::new(), at(0)).unwrap());
        let held: Vec<Pick> = (0..80)
            .map(|_| bench.pick_key(b"popular", &Tried::new(), at(0)).unwrap())
            .collect();
        let most = bench.in_flight().into_iter().max().unwrap();
        assert!(most <= 13, "{name}: {most} where a fair share is ten");
        drop(held);
        let again = number(&bench.pick_key(b"popular", &Tried::new(), at(0)).unwrap());
        assert_eq!(again, home, "{name}");
        // Without load the bound moves no key.
        let mut plain = Bench::new(plain, &weighted(&[1; 8]));
        assert_eq!(
            bench.counts(500, 8, at(0)),
            plain.counts(500, 8, at(0)),
            "{name}"
        );
    }
}

#[test]
fn without_a_factor_a_key_stays_whatever_its_load() {
    for factor in [
        BalanceFactor::NONE,
        BalanceFactor::percent(100),
        BalanceFactor::percent(0),
    ] {
        for policy in hashing(factor) {
            let name = policy.name();
            let mut bench = Bench::new(policy, &weighted(&[1; 8]));
            let held: Vec<Pick> = (0..50)
                .map(|_| bench.pick_key(b"popular", &Tried::new(), at(0)).unwrap())
                .collect();
            let homes: BTreeMap<_, usize> = held.iter().map(|p| (p.addr(), 1)).collect();
            assert_eq!(homes.len(), 1, "{name}");
        }
    }
}

#[test]
fn the_share_of_missing_backends_is_not_lost() {
    for policy in hashing(BalanceFactor::percent(101)) {
        let name = policy.name();
        let mut bench = Bench::new(policy, &weighted(&[1; 8]));
        for i in 2..8 {
            bench.check(i, lb_core::Health::Unhealthy, at(0));
        }
        let held: Vec<Pick> = (0..100)
            .map(|_| bench.pick_key(b"popular", &Tried::new(), at(0)).unwrap())
            .collect();
        let found = bench.in_flight();
        assert!(found[0].abs_diff(found[1]) <= 4, "{name}: {found:?}");
        assert_eq!(held.iter().filter(|p| p.addr() == addr(2)).count(), 0);
    }
}
