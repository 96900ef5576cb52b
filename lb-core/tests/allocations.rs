//! Nothing is allocated on the way of a connection, nor freed. The crate `allocation-counter` is the allocator of this
//! test's binary and counts by thread.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use allocation_counter::measure;
use lb_core::policy::PolicyKind;
use lb_core::{PickRequest, Tried};
use support::{Bench, at, tried, weighted};

/// The life of 50 connections, one after the other: picked, connected, released; picked, failed, picked again.
fn connections(bench: &mut Bench, tried: &Tried, begin: u64) {
    for n in 0..50_u64 {
        let key = n.to_le_bytes();
        let request = PickRequest::new(tried).with_key(&key);
        // Every failure is forgotten by the time of the next.
        let now = at(begin + 20 * n);
        let pick = bench.balancer.pick(&request, now, &mut bench.rng).unwrap();
        pick.connected(now);
        drop(pick);
        let pick = bench.balancer.pick(&request, now, &mut bench.rng).unwrap();
        let _ = pick.failed(now);
        drop(bench.balancer.pick(&request, now, &mut bench.rng));
    }
}

#[test]
fn a_connection_allocates_and_frees_nothing() {
    let weights = |n: usize, modulus: usize| -> Vec<u16> {
        (0..n).map(|i| 1 + (i % modulus) as u16).collect()
    };
    for kind in PolicyKind::ALL {
        for n in [10, 1000, 10_000] {
            for modulus in [1, 7] {
                let mut bench = Bench::new(kind.build(), &weighted(&weights(n, modulus)));
                for (tried, begin) in [(Tried::new(), 0), (tried([1, 2, 5]), 1000)] {
                    let counted = measure(|| connections(&mut bench, &tried, begin));
                    let told = format!("{kind}, {n} backends: {counted:?}");
                    assert_eq!(counted.count_total, 0, "{told}");
                    assert_eq!(counted.count_current, 0, "something was freed: {told}");
                }
            }
        }
    }
}

#[test]
fn refusals_allocate_nothing() {
    for kind in PolicyKind::ALL {
        let mut bench = Bench::new(kind.build(), &weighted(&[1, 2, 3]));
        let all = tried(0..3);
        let counted = measure(|| assert!(bench.pick_at(&all, at(0)).is_err()));
        assert_eq!(counted.count_total, 0, "{kind}");
    }
}

#[test]
fn the_allocator_counts() {
    let kept = std::cell::Cell::new(None);
    let made = measure(|| kept.set(Some(Box::new(7))));
    assert_eq!((made.count_total, made.count_current), (1, 1));
    let freed = measure(|| drop(kept.take()));
    assert_eq!((freed.count_total, freed.count_current), (0, -1));
}
