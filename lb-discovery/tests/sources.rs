//! The sources that need no network, in paused time.

#![allow(clippy::unwrap_used)] // clippy exempts the tests themselves, not their helpers

#[path = "support/run.rs"]
mod run;
#[path = "support/script.rs"]
mod script;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use lb_core::{AdminState, Priority, Snapshot, Weight};
use lb_discovery::{
    Discovery, DiscoveryError, DriverConfig, Filter, Lookup, Map, Merge, Poll, Resolved, Static,
    channel,
};
use run::{Running, backend, eventually, ports, set};
use script::{Script, Watch};
use tokio::time::{Instant, sleep};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

// === Static ===

#[tokio::test]
async fn a_static_source_gives_its_list_once() {
    let source = Static::new(set(&[1, 2])).with_source("list");
    assert_eq!(&*source.source(), "list");
    let mut sets = source.watch().await.unwrap();
    assert_eq!(sets.next().await.unwrap().unwrap(), set(&[1, 2]));
    assert!(sets.next().now_or_never().is_none());
}

// === Manual ===

#[tokio::test]
async fn a_handle_changes_the_set() {
    let (handle, source) = channel(set(&[1]));
    let mut sets = source.watch().await.unwrap();
    let mut next = async || ports(&sets.next().await.unwrap().unwrap());
    assert_eq!(next().await, [1]);
    handle.add(backend(2));
    assert_eq!(next().await, [1, 2]);
    handle.set(set(&[3, 4, 5]));
    assert_eq!(next().await, [3, 4, 5]);
    assert!(handle.remove(backend(4).addr));
    assert_eq!(next().await, [3, 5]);
    assert_eq!(handle.snapshot(), set(&[3, 5]));
}

#[tokio::test]
async fn a_handle_replaces_by_address_in_place() {
    let (handle, _source) = channel(set(&[1, 2, 3]));
    let addr = backend(2).addr;
    handle.add(backend(2).with_weight(Weight::new(9)));
    assert_eq!(ports(&handle.snapshot()), [1, 2, 3]);
    let find = || handle.snapshot().find(addr).unwrap().clone();
    assert_eq!(find().weight, Weight::new(9));
    assert!(handle.set_weight(addr, Weight::new(4)));
    assert_eq!(find().weight, Weight::new(4));
    assert!(handle.drain(addr));
    assert_eq!(
        (find().admin, find().weight),
        (AdminState::Drain, Weight::new(4))
    );
    assert!(handle.resume(addr));
    assert_eq!(find().admin, AdminState::Ready);
}

#[tokio::test]
async fn a_handle_tells_of_unknown_addresses() {
    let (handle, source) = channel(set(&[1]));
    let mut sets = source.watch().await.unwrap();
    sets.next().await.unwrap().unwrap();
    let unknown = backend(2).addr;
    assert!(!handle.remove(unknown));
    assert!(!handle.drain(unknown));
    assert!(!handle.resume(unknown));
    assert!(!handle.set_weight(unknown, Weight::ZERO));
    // Nothing changed, so no watch woke; nor does it for a change to the same.
    handle.set(set(&[1]));
    assert!(handle.resume(backend(1).addr));
    assert!(sets.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_dropped_handle_leaves_the_last_set() {
    let (handle, source) = channel(set(&[1]));
    let mut early = source.watch().await.unwrap();
    assert_eq!(early.next().await.unwrap().unwrap(), set(&[1]));
    handle.add(backend(2));
    drop(handle);
    assert_eq!(early.next().await.unwrap().unwrap(), set(&[1, 2]));
    assert!(early.next().now_or_never().is_none());
    let mut late = source.watch().await.unwrap();
    assert_eq!(late.next().await.unwrap().unwrap(), set(&[1, 2]));
    assert!(late.next().now_or_never().is_none());
}

// === Map ===

#[tokio::test]
async fn a_map_changes_every_backend_of_every_set() {
    let (handle, source) = channel(set(&[1]));
    let source = Map::new(source, |b| b.with_priority(Priority::BACKUP));
    assert_eq!(&*source.source(), "manual");
    let mut sets = source.watch().await.unwrap();
    for expected in [vec![1], vec![1, 2]] {
        let next = sets.next().await.unwrap().unwrap();
        assert_eq!(ports(&next), expected);
        assert!(next.iter().all(|b| b.priority == Priority::BACKUP));
        handle.add(backend(2));
    }
    assert_eq!(format!("{source:?}").split(' ').next(), Some("Map"));
}

#[tokio::test]
async fn a_map_passes_on_failures_and_hints() {
    let script = Script::new([Watch::Fail]);
    let source = Map::new(Arc::clone(&script), |b| b);
    assert!(source.watch().await.is_err());
    source.refresh();
    assert_eq!(script.refreshes(), 1);
    let boxed: Box<dyn Discovery> = Box::new(source);
    boxed.refresh();
    assert_eq!(script.refreshes(), 2);
}

// === Filter ===

#[tokio::test]
async fn a_filter_leaves_out_what_is_not_wanted() {
    let (handle, source) = channel(set(&[1, 2, 3]));
    let source = Filter::new(source, |b| b.addr.port() % 2 == 1);
    assert_eq!(&*source.source(), "manual");
    let mut sets = source.watch().await.unwrap();
    let mut next = async || ports(&sets.next().await.unwrap().unwrap());
    assert_eq!(next().await, [1, 3]);
    handle.set(set(&[2, 4]));
    assert_eq!(next().await, [0; 0]);
}

// === Merge ===

/// Port, tier and source of each backend.
fn merged(set: &Snapshot) -> Vec<(u16, u8, &str)> {
    let show = |b: &lb_core::Backend| (b.addr.port(), b.priority.get());
    let sources = set.iter().map(|b| b.source.as_deref().unwrap());
    let shown = set.iter().map(show).zip(sources);
    shown
        .map(|((port, tier), source)| (port, tier, source))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_merge_is_the_union_with_tiers() {
    let backup = backend(2).with_priority(Priority::BACKUP);
    let near = Static::new([backend(1), backup].into_iter().collect()).with_source("near");
    let (far, source) = channel(set(&[3, 2]));
    let nested = Merge::new()
        .with(source)
        .with_shifted(Static::new(set(&[4])), 255);
    let merge = Merge::new().with(near).with_shifted(nested, 2);
    assert_eq!(&*merge.source(), "merge(near, merge(manual, static))");

    // The same by itself and through a driver, except that the driver has a status for each part.
    let mut sets = merge.watch().await.unwrap();
    let mut run = Running::start(vec![Arc::new(merge)], DriverConfig::new());
    let labels = run.handle.status().sources;
    let labels: Vec<_> = labels.iter().map(|s| s.source.to_string()).collect();
    assert_eq!(labels, ["near", "manual", "static"]);
    let expected = [
        (1, 0, "near"),
        (2, 1, "near"),
        (3, 2, "manual"),
        (4, 255, "static"),
    ];
    let direct = sets.next().await.unwrap().unwrap();
    assert_eq!(merged(&direct), expected);
    assert_eq!(run.next().await, direct);

    // One address of two sources: the most preferred tier counts, then the first source.
    far.set(
        [backend(1).with_weight(Weight::new(9)), backend(4)]
            .into_iter()
            .collect(),
    );
    let expected = [(1, 0, "near"), (2, 1, "near"), (4, 2, "manual")];
    let direct = sets.next().await.unwrap().unwrap();
    assert_eq!(merged(&direct), expected);
    assert_eq!(
        direct.find(backend(1).addr).unwrap().weight,
        Weight::default()
    );
    assert_eq!(run.next().await, direct);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_keeps_its_set_while_the_others_go_on() {
    let failing = Script::new([
        Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))]),
        Watch::Fail,
    ]);
    let (handle, fine) = channel(set(&[2, 3]));
    let merge = Merge::new()
        .with(Arc::clone(&failing))
        .with_shifted(fine, 1);
    let odd = Filter::new(merge, |b| b.addr.port() != 3);
    let source = Map::new(odd, |b| b.with_weight(Weight::new(7)));
    let mut run = Running::start(vec![Arc::new(source)], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1, 2]);
    eventually(|| run.handle.status().sources[0].failures > 2).await;
    handle.add(backend(4));
    let published = run.next().await;
    assert_eq!(ports(&published), [1, 2, 4]);
    assert!(published.iter().all(|b| b.weight == Weight::new(7)));
    let status = run.handle.status();
    assert!(status.sources[0].is_stale() && !status.sources[1].is_stale());
    run.handle.refresh();
    run.stop().await;
}

#[tokio::test]
async fn a_merge_that_is_watched_by_itself_ends_with_its_first_part() {
    let ends = Script::new([Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))])]);
    let merge = Merge::new()
        .with(Static::new(set(&[2])))
        .with(Arc::clone(&ends));
    let mut sets = merge.watch().await.unwrap();
    assert_eq!(ports(&sets.next().await.unwrap().unwrap()), [2, 1]);
    let error = sets.next().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "watching script: the source ended");
    merge.refresh();
    assert_eq!(ends.refreshes(), 1);
    let fails = Merge::new().with(Script::new([Watch::Fail]));
    assert!(fails.watch().await.is_err());
    let mut nothing = Merge::new().watch().await.unwrap();
    assert!(nothing.next().await.unwrap().unwrap().is_empty());
    assert!(nothing.next().now_or_never().is_none());
}

// === Poll ===

/// Answers with the given validities in turn, the last one for good; takes a while for it.
#[derive(Debug)]
struct Timed {
    valid_for: Mutex<VecDeque<Option<Duration>>>,
    takes: Duration,
    asked: AtomicUsize,
    fails_after: usize,
}

impl Timed {
    fn new(valid_for: impl IntoIterator<Item = Option<Duration>>) -> Self {
        Self {
            valid_for: Mutex::new(valid_for.into_iter().collect()),
            takes: Duration::ZERO,
            asked: AtomicUsize::new(0),
            fails_after: usize::MAX,
        }
    }
}

#[async_trait]
impl Lookup for Timed {
    fn source(&self) -> Arc<str> {
        "timed".into()
    }

    async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
        sleep(self.takes).await;
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if asked >= self.fails_after {
            return Err(script::unavailable());
        }
        let mut valid_for = self.valid_for.lock().unwrap();
        let valid_for = if valid_for.len() > 1 {
            valid_for.pop_front().unwrap()
        } else {
            valid_for[0]
        };
        let snapshot = Snapshot::from_backends([backend(asked as u16)]);
        Ok(Resolved::new(snapshot, valid_for))
    }
}

/// A poll without jitter.
fn steady(lookup: Timed) -> Poll<Timed> {
    Poll::new(lookup).jitter(Duration::ZERO)
}

/// The times between the first items of a watch.
async fn gaps(source: &dyn Discovery, count: usize) -> Vec<Duration> {
    let mut sets = source.watch().await.unwrap();
    let mut gaps = Vec::new();
    sets.next().await.unwrap().unwrap();
    for _ in 0..count {
        let last = Instant::now();
        sets.next().await.unwrap().unwrap();
        gaps.push(last.elapsed());
    }
    gaps
}

#[tokio::test(start_paused = true)]
async fn polls_again_when_the_answer_runs_out_within_bounds() {
    let validities = [
        Some(secs(7)),
        Some(Duration::ZERO),
        Some(ms(1)),
        Some(secs(86_400)),
        Some(Duration::MAX),
        None,
    ];
    let source = steady(Timed::new(validities));
    let seen = gaps(&source, 6).await;
    let expected = [secs(7), secs(1), secs(1), secs(300), secs(300), secs(10)];
    assert_eq!(seen, expected);

    let source = steady(Timed::new(validities))
        .interval(secs(3))
        .min_ttl(secs(2))
        .max_ttl(secs(60));
    let seen = gaps(&source, 6).await;
    let expected = [secs(7), secs(2), secs(2), secs(60), secs(60), secs(3)];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn waits_are_spread_within_bounds() {
    for (valid_for, jitter, most) in [
        (secs(1), None, ms(100)),
        (secs(60), None, ms(500)),
        (secs(60), Some(secs(100)), secs(6)),
    ] {
        let mut source = Poll::new(Timed::new([Some(valid_for)]));
        if let Some(jitter) = jitter {
            source = source.jitter(jitter);
        }
        let seen = gaps(&source, 20).await;
        let bounds = valid_for..=valid_for + most + ms(1); // timers fire up to a millisecond late
        assert!(seen.iter().all(|gap| bounds.contains(gap)), "{seen:?}");
        let spread = *seen.iter().max().unwrap() - *seen.iter().min().unwrap();
        assert!(spread > most / 4, "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_configuration_makes_a_poll_spin() {
    let source = steady(Timed::new([Some(Duration::ZERO)]))
        .min_ttl(Duration::ZERO)
        .max_ttl(Duration::ZERO)
        .interval(Duration::ZERO);
    assert_eq!(gaps(&source, 3).await, [ms(10); 3]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_ages_while_nobody_reads() {
    let source = steady(Timed::new([Some(secs(10))]));
    let mut sets = source.watch().await.unwrap();
    sets.next().await.unwrap().unwrap();
    sleep(secs(8)).await;
    let waited = Instant::now();
    sets.next().await.unwrap().unwrap();
    assert_eq!(waited.elapsed(), secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_hint_makes_every_watch_look_again() {
    let source = steady(Timed::new([Some(secs(300))]));
    let mut one = source.watch().await.unwrap();
    let mut two = source.watch().await.unwrap();
    one.next().await.unwrap().unwrap();
    two.next().await.unwrap().unwrap();
    sleep(secs(20)).await;
    let hinted = Instant::now();
    source.refresh();
    one.next().await.unwrap().unwrap();
    two.next().await.unwrap().unwrap();
    assert_eq!(hinted.elapsed(), Duration::ZERO);
    // The hint was for that once.
    one.next().await.unwrap().unwrap();
    assert_eq!(hinted.elapsed(), secs(300));
}

#[tokio::test(start_paused = true)]
async fn hints_to_a_poll_are_limited_in_rate() {
    let source = Arc::new(steady(Timed::new([Some(secs(300))])));
    let hinting = tokio::spawn({
        let source = Arc::clone(&source);
        async move {
            loop {
                source.refresh();
                sleep(ms(3)).await;
            }
        }
    });
    let seen = gaps(&source, 5).await;
    assert!(seen.iter().all(|gap| *gap >= secs(1)), "{seen:?}");
    assert!(seen.iter().all(|gap| *gap <= ms(1010)), "{seen:?}");
    hinting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_hint_during_a_lookup_brings_another() {
    let lookup = Timed {
        takes: ms(100),
        ..Timed::new([Some(secs(300))])
    };
    let source = steady(lookup);
    let mut sets = source.watch().await.unwrap();
    let (first, ()) = tokio::join!(sets.next(), async {
        sleep(ms(50)).await;
        source.refresh();
    });
    first.unwrap().unwrap();
    let looked = Instant::now();
    sets.next().await.unwrap().unwrap();
    assert_eq!(looked.elapsed(), ms(1100));
}

#[tokio::test(start_paused = true)]
async fn a_failed_lookup_ends_the_watch() {
    let lookup = Timed {
        fails_after: 1,
        ..Timed::new([Some(secs(1))])
    };
    let source = steady(lookup);
    assert_eq!(&*source.source(), "timed");
    let mut sets = source.watch().await.unwrap();
    sets.next().await.unwrap().unwrap();
    let error = sets.next().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "asking the script: it says no");
    assert!(sets.next().await.is_none());
}
