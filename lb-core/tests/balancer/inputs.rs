//! Constructors that take data from outside, against any input.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use crate::support::{Bench, addr, at, small};
use lb_core::policy::PolicyKind;
use lb_core::{
    Backend, Delta, FailLimit, Priority, Rng, Snapshot, SplitMix64, Timestamp, Tried, Weight,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn backends() -> impl Strategy<Value = Vec<Backend>> {
    let limit = (1..=u32::MAX, any::<u64>()).prop_map(|(fails, nanos)| {
        let fails = NonZeroU32::new(fails).unwrap();
        FailLimit::new(fails, Duration::from_nanos(nanos))
    });
    let parts = (
        0..12_usize,
        any::<u16>(),
        any::<u8>(),
        any::<u32>(),
        proptest::option::of(limit),
        ".{0,8}",
    );
    let backend = parts.prop_map(|(i, weight, priority, max_conns, limit, text)| {
        Backend::new(addr(i))
            .weight(Weight::new(weight))
            .priority(Priority::new(priority % 4))
            .max_conns(max_conns)
            .fail_limit(limit)
            .name(text.as_str())
            .zone(text.as_str())
            .instance(text)
    });
    vec(backend, 0..40)
}

proptest! {
    #[test]
    fn a_snapshot_keeps_the_best_of_each_address_in_the_place_of_the_first(given in backends()) {
        let snapshot = Snapshot::from_backends(given.clone());
        let mut order: Vec<_> = Vec::new();
        let mut best: BTreeMap<_, &Backend> = BTreeMap::new();
        for backend in &given {
            let kept = best.entry(backend.addr).or_insert_with(|| {
                order.push(backend.addr);
                backend
            });
            if backend.priority < kept.priority {
                *kept = backend;
            }
        }
        prop_assert_eq!(snapshot.len(), order.len());
        prop_assert_eq!(snapshot.is_empty(), given.is_empty());
        for (backend, addr) in snapshot.iter().zip(order) {
            prop_assert_eq!(backend, best[&addr]);
            prop_assert_eq!(snapshot.find(addr), Some(backend));
        }
        let again: Snapshot = snapshot.iter().cloned().collect();
        prop_assert_eq!(again, snapshot);
    }

    #[test]
    fn a_delta_leads_from_one_snapshot_to_the_other(old in backends(), new in backends()) {
        let [old, new] = [old, new].map(Snapshot::from_backends);
        let delta = Delta::between(&old, &new);
        let mut known: BTreeMap<_, _> = old.iter().map(|b| (b.addr, b)).collect();
        for addr in &delta.removed {
            prop_assert!(known.remove(addr).is_some());
        }
        for addr in &delta.changed {
            prop_assert!(known.insert(*addr, new.find(*addr).unwrap()).is_some());
        }
        for addr in &delta.added {
            prop_assert!(known.insert(*addr, new.find(*addr).unwrap()).is_none());
        }
        let expected: BTreeMap<_, _> = new.iter().map(|b| (b.addr, b)).collect();
        prop_assert_eq!(known, expected);
        prop_assert!(Delta::between(&new, &new).is_empty());
    }

    #[test]
    fn any_membership_can_be_picked_from(
        kind in proptest::sample::select(&PolicyKind::ALL[..]),
        given in backends(),
        key in vec(any::<u8>(), 0..40),
        nanos in any::<u64>(),
    ) {
        let snapshot = Snapshot::from_backends(given);
        let mut bench = Bench::new(small(kind), &snapshot);
        let (mut tried, now) = (Tried::new(), Timestamp::from_nanos(nanos));
        // `Tried` has every failed backend, so each backend that takes connections is picked once.
        loop {
            let request = lb_core::PickRequest::new(&tried).key(&key);
            let Ok(pick) = bench.balancer.pick(&request, now, &mut bench.rng) else { break };
            let addr = pick.backend().addr;
            prop_assert!(!tried.contains(addr), "{} was tried", addr);
            let _ = pick.failed(now);
            tried.insert(addr);
        }
        let taking = snapshot.iter().filter(|b| b.takes_connections()).count();
        prop_assert_eq!(tried.len(), taking);
    }

    #[test]
    fn a_policy_is_found_by_its_exact_name_only(name in "\\PC{0,24}") {
        let known = PolicyKind::ALL.iter().find(|kind| kind.to_string() == name);
        match name.parse::<PolicyKind>() {
            Ok(kind) => prop_assert_eq!(Some(&kind), known),
            Err(error) => {
                prop_assert_eq!(known, None);
                prop_assert!(error.to_string().contains(&name));
            }
        }
    }

    #[test]
    fn weights_and_priorities_keep_their_numbers(weight in any::<u16>(), level in any::<u8>()) {
        prop_assert_eq!(Weight::new(weight).get(), weight);
        prop_assert_eq!(Weight::from(weight), Weight::new(weight));
        prop_assert_eq!(Priority::new(level).get(), level);
        let backend = Backend::new(addr(0)).weight(Weight::new(weight));
        prop_assert_eq!(backend.takes_connections(), weight > 0);
    }

    #[test]
    fn tried_is_a_set(numbers in vec(0..9_usize, 0..30)) {
        let mut tried = Tried::new();
        for &i in &numbers {
            tried.insert(addr(i));
        }
        let distinct: BTreeSet<_> = numbers.iter().copied().collect();
        prop_assert_eq!(tried.len(), distinct.len());
        prop_assert_eq!(tried.is_empty(), distinct.is_empty());
        for i in 0..9 {
            prop_assert_eq!(tried.contains(addr(i)), distinct.contains(&i));
        }
    }

    #[test]
    fn times_saturate(a in any::<u64>(), b in any::<u64>(), seconds in any::<u64>()) {
        let [earlier, later] = [a.min(b), a.max(b)].map(Timestamp::from_nanos);
        let between = later.saturating_since(earlier);
        prop_assert_eq!(earlier.saturating_add(between), later);
        prop_assert_eq!(earlier.saturating_since(later), Duration::ZERO);
        prop_assert!(later.saturating_add(Duration::from_secs(seconds)) >= later);
        prop_assert!(at(0) <= earlier);
    }

    #[test]
    fn draws_stay_below_their_bound(seed in any::<u64>(), bound in 1..=u64::MAX) {
        let bound = NonZeroU64::new(bound).unwrap();
        prop_assert!(SplitMix64::new(seed).below(bound) < bound.get());
    }
}
