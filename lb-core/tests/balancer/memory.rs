//! The state of backends that one process exports and another one imports.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::{PolicyKind, WeightedRoundRobin};
use lb_core::{
    BackendMemory, BalancerConfig, FailLimit, Health, OutlierDetection, SlowStart, Snapshot,
    TimeOffset, Timestamp, Tried, balancer,
};

use crate::support::{Bench, at, backend, chi_square, small, tried, weighted};

/// The second of the export, and of the recall, whose clock began at another moment.
const EXPORT: u64 = 1000;
const RECALL: u64 = 50_000;

/// How long no process ran.
const DOWN: u64 = 2;

fn exported(bench: &Bench) -> Vec<BackendMemory> {
    bench.balancer.set().memories(at(EXPORT)).collect()
}

/// A balancer that begins with `memories`, [`DOWN`] seconds later.
fn recalled(memories: Vec<BackendMemory>, config: BalancerConfig, snapshot: &Snapshot) -> Bench {
    let bench = Bench::with(
        small(PolicyKind::WeightedRoundRobin),
        BalancerConfig::default(),
        &weighted(&[1]),
    );
    let (mut updater, balancer) = balancer(Arc::new(WeightedRoundRobin::new()));
    updater.set_config(config);
    updater.recall(memories.into_iter().map(later), at(RECALL));
    updater.apply(snapshot, at(RECALL));
    Bench {
        updater,
        balancer,
        ..bench
    }
}

fn later(mut memory: BackendMemory) -> BackendMemory {
    let time = Duration::from_secs(DOWN);
    if let Some(failures) = &mut memory.failures {
        failures.since = failures.since.after(time);
    }
    if let Some(ejections) = &mut memory.ejections {
        ejections.until = ejections.until.after(time);
    }
    memory.warm_since = memory.warm_since.map(|since| since.after(time));
    memory
}

fn ejected_until(bench: &Bench, i: usize, now: Timestamp) -> Option<Duration> {
    let set = bench.balancer.set();
    let status = set.status(now).nth(i).unwrap();
    status.ejected_until.map(|end| end.saturating_since(now))
}

/// Whether a duration is as expected but for the unit in which moments are stored.
fn is_about(found: Option<Duration>, seconds: u64) -> bool {
    let expected = Duration::from_secs(seconds);
    found.is_some_and(|found| found >= expected && found - expected < Duration::from_millis(1))
}

#[test]
fn an_ejection_by_a_fail_limit_goes_on_and_one_success_after_it_forgives() {
    let limit = FailLimit::new(NonZeroU32::MIN, Duration::from_secs(10));
    let snapshot: Snapshot = (0..2).map(|i| backend(i).fail_limit(Some(limit))).collect();
    let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &snapshot);
    let failed = bench.pick_only(0, 2, at(EXPORT - 3)).unwrap();
    let _ = failed.failed(at(EXPORT - 3));
    let mut again = recalled(exported(&bench), BalancerConfig::default(), &snapshot);
    // Ten seconds without the three before the export and the two without a process.
    assert!(is_about(ejected_until(&again, 0, at(RECALL)), 5));
    assert_eq!(ejected_until(&again, 1, at(RECALL)), None);
    let tried = tried([1]);
    assert!(again.pick_at(&tried, at(RECALL + 4)).is_err());
    let trial = again.pick_at(&tried, at(RECALL + 6)).unwrap();
    assert!(again.pick_at(&tried, at(RECALL + 6)).is_err());
    trial.connected(at(RECALL + 6));
    drop(trial);
    assert!(again.pick_at(&tried, at(RECALL + 6)).is_ok());
}

#[test]
fn an_outlier_stays_ejected_and_its_next_ejection_is_longer() {
    let detection = OutlierDetection::default()
        .consecutive_failures(1)
        .ejection(Duration::from_secs(30), Duration::from_secs(300))
        .interval(Duration::from_secs(100))
        .max_ejected_percent(50);
    let config = BalancerConfig::default().outlier_detection(detection);
    let snapshot: Snapshot = (0..2).map(|i| backend(i).fail_limit(None)).collect();
    let kind = small(PolicyKind::WeightedRoundRobin);
    let mut bench = Bench::with(kind, config.clone(), &snapshot);
    let _ = bench
        .pick_only(0, 2, at(EXPORT))
        .unwrap()
        .failed(at(EXPORT));
    let mut again = recalled(exported(&bench), config, &snapshot);
    assert!(is_about(ejected_until(&again, 0, at(RECALL)), 30 - DOWN));
    let _ = again
        .pick_only(0, 2, at(RECALL + 30))
        .unwrap()
        .failed(at(RECALL + 30));
    assert!(is_about(ejected_until(&again, 0, at(RECALL + 30)), 60));
}

#[test]
fn slow_start_goes_on() {
    let slow = SlowStart::new(Duration::from_secs(100)).min_percent(1);
    let config = BalancerConfig::default().slow_start(slow);
    let kind = small(PolicyKind::WeightedRoundRobin);
    let mut bench = Bench::with(kind, config.clone(), &weighted(&[1, 1, 1]));
    bench
        .updater
        .apply(&weighted(&[1, 1, 1, 1]), at(EXPORT - 40));
    let mut again = recalled(exported(&bench), config, &weighted(&[1, 1, 1, 1]));
    for (later, part) in [(0, 0.42), (38, 0.8), (60, 1.0)] {
        let counts = again.counts(6000, 4, at(RECALL + later));
        let statistic = chi_square(&counts, &[1.0, 1.0, 1.0, part]);
        assert!(statistic < 21.0, "{later}: {counts:?}, {statistic}");
    }
}

#[test]
fn health_is_that_of_the_last_check_unless_it_is_not_remembered() {
    use Health::{Healthy, Unchecked, Unhealthy};
    let config = BalancerConfig::default().initial_health(Unchecked);
    let kind = small(PolicyKind::WeightedRoundRobin);
    let bench = Bench::with(kind, config.clone(), &weighted(&[1, 1, 1]));
    bench.check(0, Healthy, at(1));
    bench.check(1, Unhealthy, at(1));
    let mut memories = exported(&bench);
    memories[2].health = None;
    memories.push(BackendMemory::new(backend(3).addr));
    let mut again = recalled(memories, config, &weighted(&[1, 1, 1, 1, 1]));
    let found: Vec<_> = {
        let set = again.balancer.set();
        set.status(at(RECALL)).map(|status| status.health).collect()
    };
    assert_eq!(found, [Healthy, Unhealthy, Unchecked, Unchecked, Unchecked]);
    assert_eq!(again.numbers(3), [0, 0, 0]);
    assert!(again.check(1, Healthy, at(RECALL + 1)));
    assert!(again.pick_at(&tried([0]), at(RECALL + 1)).is_ok());
}

#[test]
fn another_instance_a_late_backend_and_a_known_one_begin_without_the_memory() {
    let named = |i, instance: &str| backend(i).instance(instance.to_owned());
    let before: Snapshot = (0..4).map(|i| named(i, "old")).collect();
    let kind = small(PolicyKind::WeightedRoundRobin);
    let mut bench = Bench::with(kind, BalancerConfig::default(), &before);
    for i in 0..4 {
        let _ = bench
            .pick_only(i, 4, at(EXPORT))
            .unwrap()
            .failed(at(EXPORT));
    }
    let after: Snapshot = [named(0, "old"), named(1, "new"), backend(2)]
        .into_iter()
        .collect();
    let mut again = recalled(exported(&bench), BalancerConfig::default(), &after);
    let fails = |bench: &Bench| -> Vec<u32> {
        let set = bench.balancer.set();
        set.status(at(RECALL)).map(|status| status.fails).collect()
    };
    assert_eq!(fails(&again), [1, 0, 0]);
    // Recalled again: what is known keeps its state.
    again.updater.recall(exported(&bench), at(RECALL));
    let all: Snapshot = (0..4).map(|i| named(i, "old")).collect();
    again.updater.apply(&all, at(RECALL + 61));
    assert_eq!(fails(&again), [1, 0, 0, 0]);
}

#[test]
fn what_was_recalled_is_exported_alike() {
    let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &weighted(&[1, 1, 1]));
    let _ = bench
        .pick_only(0, 3, at(EXPORT - 1))
        .unwrap()
        .failed(at(EXPORT - 1));
    bench.check(1, Health::Unhealthy, at(EXPORT - 2));
    bench.check(1, Health::Healthy, at(EXPORT - 1));
    let first = exported(&bench);
    let again = recalled(
        first.clone(),
        BalancerConfig::default(),
        &weighted(&[1, 1, 1]),
    );
    let second: Vec<_> = again.balancer.set().memories(at(RECALL)).collect();
    let expected: Vec<_> = first.into_iter().map(later).collect();
    assert_eq!(second.len(), expected.len());
    for (found, expected) in second.iter().zip(&expected) {
        let unit = 1 << 16;
        let about = |a: TimeOffset, b: TimeOffset| a.as_nanos().abs_diff(b.as_nanos()) <= unit;
        let [f, e] = [found, expected].map(|memory| memory.failures);
        assert_eq!(f.is_some(), e.is_some());
        assert!(
            f.zip(e)
                .is_none_or(|(f, e)| f.count == e.count && about(f.since, e.since))
        );
        assert_eq!(
            (found.health, found.warm_since),
            (expected.health, expected.warm_since)
        );
    }
    assert!(second.iter().any(|memory| memory.warm_since.is_some()));
    // No memory at all is no suspicion either.
    again_is_clean(&mut recalled(
        Vec::new(),
        BalancerConfig::default(),
        &weighted(&[1, 1]),
    ));
}

fn again_is_clean(bench: &mut Bench) {
    assert_eq!(bench.numbers(4), [0, 1, 0, 1]);
    assert!(bench.pick_at(&Tried::new(), at(RECALL)).is_ok());
}
