//! Sets of another process: a driver begins with them until its sources answer.

use std::sync::Arc;
use std::time::Duration;

use lb_core::{Snapshot, Weight, stable_hash};
use lb_discovery::{Driver, DriverConfig, LastSet, Map, OnEmpty, Source, Static};
use test_support::deadline::eventually;
use tokio::time::sleep;

use crate::{now, secs};
use test_support::discovery::{RunningDriver, Script, Watch, ports, set};

/// A driver of `sources` that begins with `sets`.
fn begun(sources: Vec<Arc<dyn Source>>, config: DriverConfig, sets: &[LastSet]) -> RunningDriver {
    let (mut driver, handle) = Driver::new(sources, config);
    assert!(driver.begin_with(sets).iter().all(|taken| *taken));
    RunningDriver::resume(driver, handle)
}

/// The set of the source in `Script`, whose identity is its label.
fn last(backends: Snapshot, age: Duration) -> LastSet {
    let source = Script::new([]);
    let identity = stable_hash(source.identity().as_bytes());
    LastSet::new(source.label(), identity, backends, age)
}

#[tokio::test(start_paused = true)]
async fn the_set_is_published_at_once_although_no_source_answers() {
    for watch in [Watch::Hang, Watch::Fail] {
        let source = Script::new(vec![watch; 100]);
        let fixed = Arc::new(Static::new(set(&[7])));
        let sources: Vec<Arc<dyn Source>> = vec![source, fixed];
        let mut run = begun(
            sources,
            DriverConfig::new(),
            &[last(set(&[1, 2]), secs(60))],
        );
        assert_eq!(ports(&run.next().await), [1, 2, 7]);
        assert_eq!(run.elapsed(), Duration::ZERO);
        sleep(secs(5)).await;
        let status = run.handle.status();
        let (restored, fixed) = (&status.sources[0], &status.sources[1]);
        assert!(restored.is_restored && !fixed.is_restored);
        let age = restored.last_success.unwrap();
        assert!((secs(65)..secs(66)).contains(&age), "{age:?}");
        assert_eq!((restored.backends, restored.updates), (2, 0));
        // The next process gets it with its whole age.
        let again = run.handle.last_sets();
        assert_eq!(again[0].backends, labelled(&again[0], &[1, 2]));
        assert!((secs(65)..secs(66)).contains(&again[0].age));
        run.stop().await;
    }
}

/// The set of these ports with the label of `set` as their source.
fn labelled(set: &LastSet, numbers: &[u16]) -> Snapshot {
    let label = |backend: &lb_core::Backend| backend.clone().source(Arc::clone(&set.label));
    test_support::discovery::set(numbers)
        .iter()
        .map(label)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_replaces_the_set() {
    let source = Script::new([Watch::Sets(vec![(secs(3), set(&[3]))])]);
    let mut run = begun(
        vec![source],
        DriverConfig::new(),
        &[last(set(&[1]), secs(9))],
    );
    assert_eq!(ports(&run.next().await), [1]);
    assert_eq!(ports(&run.next().await), [3]);
    let status = run.handle.status();
    assert!(!status.sources[0].is_restored);
    assert!(status.sources[0].last_success.unwrap() < secs(1));
    assert_eq!(run.handle.last_sets()[0].backends.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_authoritative_empty_answer_empties_the_set() {
    let source = Script::new([Watch::Absent(None)]);
    let config = DriverConfig::new().on_empty(OnEmpty::Apply);
    let mut run = begun(vec![source], config, &[last(set(&[1, 2]), secs(9))]);
    let mut seen = Vec::new();
    while seen.last() != Some(&Vec::new()) {
        seen.push(ports(&run.next().await));
    }
    assert_eq!(seen[0], [1, 2]);
    assert!(!run.handle.status().sources[0].is_restored);
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_set_counts_for_max_stale() {
    let config = DriverConfig::new().max_stale(Some(secs(60)));
    let source = Script::new(vec![Watch::Fail; 100]);
    let (mut driver, _) = Driver::new(vec![source.clone()], config.clone());
    assert_eq!(driver.begin_with(&[last(set(&[1]), secs(60))]), [false]);

    let mut run = begun(vec![source], config, &[last(set(&[1]), secs(40))]);
    assert_eq!(ports(&run.next().await), [1]);
    assert_eq!(ports(&run.next().await), [0_u16; 0]);
    assert!((secs(20)..secs(21)).contains(&run.elapsed()));
    assert!(run.handle.last_sets().is_empty(), "an expired set");
}

#[tokio::test(start_paused = true)]
async fn a_set_is_taken_by_its_source_alone_and_adapted() {
    let other = LastSet::new("script", 7, set(&[8]), secs(1));
    let source = Script::new([Watch::Hang]);
    let heavy = Map::new(source, |backend| backend.weight(Weight::new(5)));
    let (mut driver, handle) = Driver::new(vec![Arc::new(heavy)], DriverConfig::new());
    let sets = [other, last(set(&[1]), secs(1)), last(set(&[2]), secs(1))];
    // One source takes one set.
    assert_eq!(driver.begin_with(&sets), [false, true, false]);
    let mut run = RunningDriver::resume(driver, handle);
    let published = run.next().await;
    assert_eq!(ports(&published), [1]);
    assert!(published.iter().all(|backend| backend.weight.get() == 5));
    let kept = &run.handle.last_sets()[0].backends;
    assert!(
        kept.iter().all(|backend| backend.weight.get() == 1),
        "before the map"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_answered_keeps_its_own_set() {
    let source = Script::new([now(set(&[1]))]);
    let run = RunningDriver::start(vec![source], DriverConfig::new());
    let handle = run.handle.clone();
    eventually("the set", || handle.status().sources[0].updates == 1).await;
    let mut driver = run.stop().await;
    driver.begin_with(&[last(set(&[2]), secs(1))]);
    assert_eq!(ports(&handle.last_sets()[0].backends), [1]);
}
