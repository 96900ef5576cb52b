//! A ring that updates have edited is the one that a new balancer compiles.

use std::sync::Arc;

use lb_core::policy::Ketama;
use lb_core::{AdminState, Backend, Snapshot, Tried, Weight};
use proptest::prelude::*;

use crate::support::{Bench, at, backend, number};

/// One change of a list of backends, at the place that the number says.
#[derive(Clone, Copy, Debug)]
enum Change {
    Add(usize),
    Drain,
    Move(usize),
    Name(u8),
    Remove,
    Weigh(u16),
}

impl Change {
    fn apply(self, at: usize, backends: &mut Vec<Backend>) {
        let at = at % backends.len();
        let len = backends.len();
        match self {
            Self::Add(i) if backends.iter().all(|known| known.addr != backend(i).addr) => {
                backends.insert(at, backend(i));
            }
            Self::Add(_) => {}
            Self::Drain => backends[at].admin = AdminState::Drain,
            Self::Move(to) => backends.swap(at, to % len),
            // Few names, so that some are shared.
            Self::Name(name) => backends[at].name = Some(format!("name{}", name % 8).into()),
            Self::Remove => drop(backends.remove(at)),
            Self::Weigh(weight) => backends[at].weight = Weight::new(weight),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (300..330_usize).prop_map(Change::Add),
        Just(Change::Drain),
        any::<usize>().prop_map(Change::Move),
        any::<u8>().prop_map(Change::Name),
        Just(Change::Remove),
        (0..4_u16).prop_map(Change::Weigh),
    ]
}

/// What decides where keys go.
fn digests(bench: &Bench) -> Vec<u64> {
    let digests = bench.balancer.digests().into_iter();
    digests.map(|(_, digest)| digest).collect()
}

/// Where some keys go.
fn choices(bench: &mut Bench) -> Vec<usize> {
    let mut choice = |key: u32| {
        let pick = bench.pick_key(&key.to_be_bytes(), &Tried::new(), at(0));
        number(&pick.unwrap())
    };
    (0..50).map(&mut choice).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// 200 backends have 32000 points: a ring that is large enough to be edited.
    #[test]
    fn an_edited_ring_is_the_one_of_a_new_balancer(
        updates in proptest::collection::vec(
            proptest::collection::vec((any::<usize>(), change()), 1..4),
            1..8,
        ),
        // Above it, each change of the weights changes the points of all names.
        max_points in prop_oneof![Just(1_u32 << 21), Just(31_000_u32)],
    ) {
        let policy = Arc::new(Ketama::new().max_points(max_points));
        let mut backends: Vec<Backend> = (0..200).map(backend).collect();
        let mut updated = Bench::new(policy.clone(), &backends.iter().cloned().collect());
        for update in updates {
            for (at, change) in update {
                change.apply(at, &mut backends);
            }
            let snapshot: Snapshot = backends.iter().cloned().collect();
            updated.updater.apply(&snapshot, at(0));
            let new = Bench::new(policy.clone(), &snapshot);
            prop_assert_eq!(digests(&updated), digests(&new));
        }
        // Once, because backends of one name take turns, and their turns outlast updates.
        let mut new = Bench::new(policy, &backends.iter().cloned().collect());
        prop_assert_eq!(choices(&mut updated), choices(&mut new));
    }
}

#[test]
fn a_ring_of_another_policy_is_not_taken_over() {
    let set: Snapshot = (0..200).map(backend).collect();
    let mut bench = Bench::new(Arc::new(Ketama::new()), &set);
    for max_points in [20_000, 1 << 21] {
        let policy = Arc::new(Ketama::new().max_points(max_points));
        bench.updater.set_policy(policy.clone());
        let mut new = Bench::new(policy, &set);
        assert_eq!(digests(&bench), digests(&new));
        assert_eq!(choices(&mut bench), choices(&mut new));
    }
}
