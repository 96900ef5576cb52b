//! The contract of a policy, checked for every policy of the crate.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use lb_core::policy::PolicyKind;
use lb_core::{
    AdminState, Backend, FailLimit, Pick, PickError, Priority, Snapshot, Timestamp, Weight,
};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{Bench, addr, at, backend, number, tried, weighted};

/// Picks of `n` connections, each released at once, as counts by backend.
fn counts(bench: &mut Bench, backends: usize, n: usize) -> Vec<u64> {
    let mut counts = vec![0; backends];
    for i in bench.numbers(n) {
        counts[i] += 1;
    }
    counts
}

/// Pearson's statistic of `counts` against shares in proportion to `weights`.
fn chi_square(counts: &[u64], weights: &[u16]) -> f64 {
    let total: u64 = counts.iter().sum();
    let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    counts
        .iter()
        .zip(weights)
        .filter(|(_, w)| **w > 0)
        .map(|(&count, &w)| {
            let expected = total as f64 * f64::from(w) / sum;
            (count as f64 - expected).powi(2) / expected
        })
        .sum()
}

/// Exact for the round robin and for ties of least connections, within chance for the others: 99.99 % of seeds stay
/// below 35 with up to 9 degrees of freedom.
fn assert_proportional(kind: PolicyKind, counts: &[u64], weights: &[u16]) {
    let exact = matches!(kind, PolicyKind::WeightedRoundRobin | PolicyKind::LeastConn);
    let statistic = chi_square(counts, weights);
    let limit = if exact { 1e-9 } else { 35.0 };
    assert!(
        statistic < limit,
        "{kind}: {counts:?} for {weights:?}, chi-square {statistic}"
    );
    for (count, weight) in counts.iter().zip(weights) {
        assert!(*weight > 0 || *count == 0, "{kind}: {counts:?}");
    }
}

/// The policies that give idle backends shares by weight. The others mean something else by design: see their docs.
fn proportional() -> impl Iterator<Item = PolicyKind> {
    let others = [
        PolicyKind::First,
        PolicyKind::LeastTime,
        PolicyKind::RandomTwo,
    ];
    let kinds = PolicyKind::ALL.into_iter();
    kinds.filter(move |kind| !others.contains(kind))
}

const WEIGHT_SETS: [&[u16]; 5] = [
    &[1, 1, 1, 1],
    &[5, 1, 1],
    &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
    &[100, 1],
    &[0, 3, 1, 0],
];

#[test]
fn shares_follow_the_weights() {
    for kind in proportional() {
        for weights in WEIGHT_SETS {
            let lap: usize = weights.iter().map(|&w| usize::from(w)).sum();
            let mut bench = Bench::new(kind.build(), &weighted(weights));
            let counts = counts(&mut bench, weights.len(), lap * 1000);
            assert_proportional(kind, &counts, weights);
        }
    }
}

#[test]
fn shares_follow_the_weights_when_the_lap_is_too_long_to_store() {
    let weights = [65_535_u16, 40_000, 10_000, 3_001, 1_000];
    let lap: usize = weights.iter().map(|&w| usize::from(w)).sum();
    for kind in proportional() {
        let mut bench = Bench::new(kind.build(), &weighted(&weights));
        let counts = counts(&mut bench, weights.len(), lap);
        assert_proportional(kind, &counts, &weights);
    }
}

#[test]
fn shares_stay_in_proportion_while_some_are_ejected_drained_or_full() {
    // By number: b is ejected, d drained, e full; the rest keep 4 : 3 : 1.
    let weights = [4, 9, 3, 5, 2, 1];
    let expected = [4, 0, 3, 0, 0, 1];
    for kind in proportional() {
        let snapshot: Snapshot = weighted(&weights)
            .iter()
            .cloned()
            .enumerate()
            .map(|(i, b)| match i {
                3 => b.with_admin(AdminState::Drain),
                4 => b.with_max_conns(NonZeroU32::new(1)),
                _ => b,
            })
            .collect();
        let mut bench = Bench::new(kind.build(), &snapshot);
        let only = |i| tried((0..6).filter(move |&other| other != i));
        let _ = bench.pick_at(&only(1), at(0)).unwrap().failed(at(0));
        let full = bench.pick_at(&only(4), at(0)).unwrap();
        let counts = counts(&mut bench, weights.len(), 8 * 10_000);
        drop(full);
        assert_proportional(kind, &counts, &expected);
    }
}

#[test]
fn a_dead_giant_starves_nobody() {
    for kind in proportional() {
        let mut bench = Bench::new(kind.build(), &weighted(&[u16::MAX, 1, 1]));
        let tried = tried([0]);
        let mut counts = [0; 3];
        for _ in 0..1000 {
            counts[number(&bench.pick_at(&tried, at(0)).unwrap())] += 1;
        }
        assert!(counts[1].min(counts[2]) > 400, "{kind}: {counts:?}");
    }
}

#[test]
fn one_eligible_backend_among_many_is_found() {
    for kind in PolicyKind::ALL {
        let mut bench = Bench::new(kind.build(), &weighted(&[1000, 7, 1, 300]));
        for i in 0..4 {
            let others = tried((0..4).filter(|&other| other != i));
            for _ in 0..50 {
                assert_eq!(number(&bench.pick_at(&others, at(0)).unwrap()), i, "{kind}");
            }
        }
        let error = bench.pick_at(&tried(0..4), at(0)).unwrap_err();
        assert_eq!(error, PickError::Exhausted, "{kind}");
    }
}

#[test]
fn a_busy_backend_is_avoided_by_the_policies_that_see_load() {
    let sighted = [
        PolicyKind::LeastConn,
        PolicyKind::LeastTime,
        PolicyKind::P2c,
        PolicyKind::P2cPeakEwma,
        PolicyKind::RandomTwo,
    ];
    for kind in sighted {
        let mut bench = Bench::new(kind.build(), &weighted(&[1, 1, 1]));
        let only_a = tried(1..3);
        let held: Vec<Pick> = (0..10)
            .map(|_| bench.pick_at(&only_a, at(0)).unwrap())
            .collect();
        let counts = counts(&mut bench, 3, 1000);
        assert_eq!(counts[0], 0, "{kind}: {counts:?}");
        drop(held);
    }
}

/// One thing that can happen to a balancer.
#[derive(Clone, Debug)]
enum Event {
    Apply(Vec<(usize, Change)>),
    Advance(u64),
    Pick {
        tried: BTreeSet<usize>,
        key: Vec<u8>,
    },
    Succeed(usize),
    Fail(usize),
    Release(usize),
    SetPolicy(PolicyKind),
}

/// What is unusual about one backend of a snapshot.
#[derive(Clone, Debug)]
enum Change {
    Backup,
    Drain,
    Limit(u32),
    Weight(u16),
}

impl Change {
    fn of(&self, backend: Backend) -> Backend {
        match *self {
            Self::Backup => backend.with_priority(Priority::BACKUP),
            Self::Drain => backend.with_admin(AdminState::Drain),
            Self::Limit(n) => backend.with_max_conns(NonZeroU32::new(n)),
            Self::Weight(w) => backend.with_weight(Weight::new(w)),
        }
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let change = prop_oneof![
        Just(Change::Backup),
        Just(Change::Drain),
        (0..4_u32).prop_map(Change::Limit),
        prop_oneof![0..4_u16, Just(5000), Just(u16::MAX)].prop_map(Change::Weight),
    ];
    let event = prop_oneof![
        2 => vec((0..8_usize, change), 0..8).prop_map(Event::Apply),
        2 => (0..20_u64).prop_map(Event::Advance),
        // Half of the keys are empty, which is no key.
        8 => (proptest::collection::btree_set(0..8_usize, 0..3), vec(any::<u8>(), 0..2))
            .prop_map(|(tried, key)| Event::Pick { tried, key }),
        2 => any::<usize>().prop_map(Event::Succeed),
        2 => any::<usize>().prop_map(Event::Fail),
        4 => any::<usize>().prop_map(Event::Release),
        1 => proptest::sample::select(&PolicyKind::ALL[..]).prop_map(Event::SetPolicy),
    ];
    vec(event, 1..80)
}

/// The eligible backends, worked out from the public status instead of the balancer's own check.
fn eligible(bench: &Bench, tried: &BTreeSet<usize>, now: Timestamp) -> Vec<(Priority, usize)> {
    let set = bench.balancer.set();
    set.status(now)
        .filter(|status| status.backend.takes_connections())
        .filter(|status| status.ejected_until.is_none())
        .filter(|status| {
            let max = status.backend.max_conns.map_or(u32::MAX, NonZeroU32::get);
            status.in_flight < max
        })
        .map(|status| {
            let number = support::number_of(status.backend.addr);
            (status.backend.priority, number)
        })
        .filter(|(_, number)| !tried.contains(number))
        .collect()
}

/// Takes one of the held leases, chosen by a number of any size.
fn take(held: &mut Vec<Pick>, choice: usize) -> Option<Pick> {
    let i = choice.checked_rem(held.len())?;
    Some(held.swap_remove(i))
}

fn check(kind: PolicyKind, events: Vec<Event>) {
    let mut bench = Bench::new(kind.build(), &Snapshot::default());
    let mut held: Vec<Pick> = Vec::new();
    let mut now = at(0);
    let limit = FailLimit::new(NonZeroU32::new(2).unwrap(), Duration::from_secs(10));
    for event in events {
        match event {
            Event::Apply(backends) => {
                let snapshot = backends
                    .iter()
                    .map(|(i, change)| change.of(backend(*i).with_fail_limit(Some(limit))))
                    .collect();
                bench.updater.apply(&snapshot, now);
            }
            Event::Advance(seconds) => now = now.saturating_add(Duration::from_secs(seconds)),
            Event::Pick { tried, key } => {
                let eligible = eligible(&bench, &tried, now);
                let first = eligible.iter().map(|(priority, _)| *priority).min();
                match bench.pick_key(&key, &support::tried(tried.iter().copied()), now) {
                    Ok(pick) => {
                        let picked = (pick.backend().priority, number(&pick));
                        assert!(eligible.contains(&picked), "{picked:?} of {eligible:?}");
                        assert_eq!(Some(picked.0), first, "a lower tier was preferred");
                        held.push(pick);
                    }
                    Err(error) => assert!(eligible.is_empty(), "{error}, of {eligible:?}"),
                }
            }
            Event::Succeed(choice) => {
                if let Some(pick) = choice.checked_rem(held.len()).map(|i| &held[i]) {
                    pick.connected(now);
                }
            }
            Event::Fail(choice) => {
                if let Some(pick) = take(&mut held, choice) {
                    let _ = pick.failed(now);
                }
            }
            Event::Release(choice) => drop(take(&mut held, choice)),
            Event::SetPolicy(kind) => bench.updater.set_policy(kind.build()),
        }
        let set = bench.balancer.set();
        for status in set.status(now) {
            let leases = held
                .iter()
                .filter(|pick| pick.backend().addr == status.backend.addr);
            assert_eq!(status.in_flight as usize, leases.count(), "{status:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_interleaving_keeps_the_contract(
        kind in proptest::sample::select(&PolicyKind::ALL[..]),
        events in events(),
    ) {
        check(kind, events);
    }

    #[test]
    fn the_same_inputs_give_the_same_answers(
        kind in proptest::sample::select(&PolicyKind::ALL[..]),
        weights in vec(0..9_u16, 1..12),
    ) {
        let run = || {
            let mut bench = Bench::new(kind.build(), &weighted(&weights));
            (0..60).map(|_| bench.pick().map(|pick| pick.backend().addr)).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn threads_never_exceed_max_conns_nor_lose_a_lease() {
    const MAX: u32 = 3;
    for kind in PolicyKind::ALL {
        let snapshot: Snapshot = (0..4)
            .map(|i| backend(i).with_max_conns(NonZeroU32::new(MAX)))
            .collect();
        let bench = Bench::new(kind.build(), &snapshot);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let mut mine = Bench {
                    updater: lb_core::balancer(kind.build()).0,
                    balancer: bench.balancer.clone(),
                    rng: lb_core::SplitMix64::new(seed),
                };
                scope.spawn(move || {
                    let mut held = std::collections::VecDeque::new();
                    for _ in 0..5_000 {
                        match mine.pick() {
                            Ok(pick) => held.push_back(pick),
                            // Four threads of four leases each can fill all twelve slots.
                            Err(error) => assert_eq!(error, PickError::Exhausted),
                        }
                        if held.len() > 4 {
                            held.pop_front();
                        }
                        assert!(mine.in_flight().iter().all(|&n| n <= MAX));
                    }
                });
            }
        });
        assert_eq!(bench.in_flight(), [0; 4], "{kind}");
    }
}

#[test]
fn ten_thousand_backends_of_any_weight_are_all_reached() {
    let snapshot: Snapshot = (0..10_000)
        .map(|i| backend(i).with_weight(Weight::new(1 + (i % 7) as u16)))
        .collect();
    let lap: usize = (0..10_000).map(|i| 1 + i % 7).sum();
    let mut bench = Bench::new(PolicyKind::WeightedRoundRobin.build(), &snapshot);
    let numbers: std::collections::BTreeMap<_, _> = (0..10_000).map(|i| (addr(i), i)).collect();
    let mut counts = vec![0; 10_000];
    for _ in 0..lap {
        counts[numbers[&bench.pick().unwrap().backend().addr]] += 1;
    }
    assert!((0..10_000).all(|i| counts[i] == 1 + i % 7));
}
