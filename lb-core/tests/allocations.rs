//! Picking, connecting, failing and releasing allocate and free nothing. The crate `allocation-counter` is the allocator of this
//! test's binary and counts by thread.
//!
//! `cargo test --release -p lb-core --test allocations -- --ignored --nocapture memory` prints the memory of a backend.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(feature = "test-util")]
mod suite;
mod support;

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use lb_core::policy::{BalanceFactor, Maglev, PolicyKind};
use lb_core::{
    BalancerConfig, Health, OutlierDetection, PickRequest, Policy, Priority, SlowStart, Snapshot,
    Subset, Tried, ZonePreference,
};
use support::{Bench, at, backend, tried, weighted};

/// The life of 50 connections, one after the other: picked, connected, released; picked, failed, picked again.
fn connections(bench: &mut Bench, tried: &Tried, begin: u64) {
    for n in 0..50_u64 {
        let key = n.to_le_bytes();
        let request = PickRequest::new(tried).key(&key);
        // The fail window ends before the next failure.
        let now = at(begin + 20 * n);
        let pick = bench.balancer.pick(&request, now, &mut bench.rng).unwrap();
        pick.connected(now);
        if let Some(mut timer) = pick.response_timer() {
            timer.connected(now);
            timer.first_byte(now);
            timer.ended(now);
        }
        drop(pick);
        let pick = bench.balancer.pick(&request, now, &mut bench.rng).unwrap();
        let _ = pick.failed(now);
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
                    let message = format!("{kind}, {n} backends: {counted:?}");
                    assert_eq!(counted.count_total, 0, "{message}");
                    assert_eq!(counted.count_current, 0, "something was freed: {message}");
                }
            }
        }
    }
}

/// All settings around a policy.
fn everything(n: usize) -> BalancerConfig {
    let outliers = OutlierDetection::default()
        .consecutive_failures(2)
        .max_ejected_percent(50);
    BalancerConfig::default()
        .outlier_detection(outliers)
        .overprovisioning(140)
        .panic_threshold(50)
        .slow_start(SlowStart::new(Duration::from_secs(500)))
        .subset(Subset::new(1, n as u32 / 2))
        .zone(ZonePreference::new("a"))
}

#[test]
fn no_setting_around_the_policy_allocates_or_frees() {
    let bounded = Maglev::new().balance_factor(BalanceFactor::percent(125));
    let mut policies: Vec<Arc<dyn Policy>> = PolicyKind::ALL.map(PolicyKind::build).into();
    policies.push(Arc::new(bounded));
    for policy in policies {
        for n in [20, 1000] {
            let of = |from: usize| -> Snapshot {
                let backends = (from..from + n).map(|i| {
                    backend(i)
                        .zone(if i % 2 == 0 { "a" } else { "b" })
                        .priority(Priority::new(u8::from(i % 5 == 0)))
                        .max_conns(50)
                });
                backends.collect()
            };
            let mut bench = Bench::with(Arc::clone(&policy), everything(n), &of(0));
            // Half of them are new and in slow start.
            bench.updater.apply(&of(n / 2), at(1));
            for i in n / 2..n {
                bench.check(i, Health::Unhealthy, at(1));
            }
            let counted = measure(|| connections(&mut bench, &Tried::new(), 2));
            let message = format!("{}, {n} backends: {counted:?}", policy.name());
            assert_eq!(
                (counted.count_total, counted.count_current),
                (0, 0),
                "{message}"
            );
            // Fails connections until no backend is left to eject.
            let tried = Tried::new();
            let counted = measure(|| {
                for _ in 0..200 {
                    if let Ok(pick) = bench.pick_at(&tried, at(3000)) {
                        let _ = pick.failed(at(3000));
                    }
                }
            });
            let message = format!("{}, {n} backends, ejecting: {counted:?}", policy.name());
            assert_eq!(
                (counted.count_total, counted.count_current),
                (0, 0),
                "{message}"
            );
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
#[ignore = "prints figures for the documentation"]
fn memory() {
    const N: usize = 10_000;
    let weights = |modulus: usize| (0..N).map(|i| 1 + (i % modulus) as u16).collect::<Vec<_>>();
    let each = |bytes: i64| bytes / N as i64;
    let mut made = None;
    let counted = measure(|| made = Some(weighted(&weights(1))));
    eprintln!(
        "the snapshot: {} bytes a backend",
        each(counted.bytes_current)
    );
    drop(made);
    for kind in PolicyKind::ALL {
        let of = |modulus| {
            let snapshot = weighted(&weights(modulus));
            let mut made = None;
            let counted = measure(|| made = Some(Bench::new(kind.build(), &snapshot)));
            drop(made);
            each(counted.bytes_current)
        };
        let (equal, three) = (of(1), of(3));
        eprintln!("{kind}: {equal} bytes a backend, {three} with weights 1 to 3");
    }
}

/// As `LeastTime` documents.
#[cfg(target_pointer_width = "64")]
#[test]
fn least_time_takes_64_bytes_a_backend() {
    let of = |kind: PolicyKind, n: usize| {
        let snapshot = weighted(&vec![1; n]);
        let mut made = None;
        let counted = measure(|| made = Some(Bench::new(kind.build(), &snapshot)));
        drop(made);
        counted.bytes_current
    };
    of(PolicyKind::LeastTime, 1); // what a thread allocates once
    let more = |n| of(PolicyKind::LeastTime, n) - of(PolicyKind::First, n);
    assert_eq!(more(300) - more(100), 200 * 64);
}

#[test]
fn the_allocator_counts() {
    let kept = std::cell::Cell::new(None);
    let made = measure(|| kept.set(Some(Box::new(7))));
    assert_eq!((made.count_total, made.count_current), (1, 1));
    let freed = measure(|| drop(kept.take()));
    assert_eq!((freed.count_total, freed.count_current), (0, -1));
}
