//! Published sets, and the time of the first.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lb_core::{AdminState, Snapshot};
use lb_discovery::{
    DiscoveryError, Driver, DriverConfig, Filter, Manual, Map, SnapshotStream, Source, Static,
};
use tokio::time::{Instant, sleep};

use crate::{ms, now, secs};
use test_support::deadline::eventually;
use test_support::discovery::{RunningDriver, Script, Watch, backend, ports, set};

#[tokio::test(start_paused = true)]
async fn publishes_the_union_in_the_order_of_the_sources() {
    let named = backend(2).source("elsewhere");
    let first = Static::new([backend(3), named].into_iter().collect()).labelled("first");
    let second = Static::new(set(&[1, 3])).labelled("second");
    let mut run =
        RunningDriver::start(vec![Arc::new(first), Arc::new(second)], DriverConfig::new());
    let union = run.next().await;
    let seen: Vec<_> = union
        .iter()
        .map(|b| (b.addr.port(), b.source.as_deref().unwrap()))
        .collect();
    assert_eq!(seen, [(3, "first"), (2, "elsewhere"), (1, "second")]);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_runs_again_continues_with_its_last_sets() {
    let source = Script::new([now(set(&[1])), Watch::Fail]);
    let mut run = RunningDriver::start(vec![source], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1]);
    let handle = run.handle.clone();
    let mut run = RunningDriver::resume(run.stop().await, handle);
    assert_eq!(ports(&run.next().await), [1]);
    eventually("the error", || {
        run.handle.status().sources[0].last_error.is_some()
    })
    .await;
    assert!(run.quiet_for(secs(60)).await);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_takes_over_keeps_the_sets_of_sources_that_stay() {
    let silent = || Script::new([Watch::Hang]);
    let named = |name: &str, ports: &[u16]| Static::new(set(ports)).labelled(name);
    let old: Vec<Arc<dyn Source>> = vec![
        Arc::new(named("gone", &[1])),
        Arc::new(named("answers", &[2])),
        Script::new([now(set(&[3]))]),
    ];
    let mut run = RunningDriver::start(old, DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1, 2, 3]);
    let old = run.stop().await;
    // The silent ones have the identity of the script: the first gets its set, for the second there is none left. A list
    // that says something else is another source, whatever its label.
    let new: Vec<Arc<dyn Source>> = vec![silent(), silent(), Arc::new(named("answers", &[4, 5]))];
    let (mut driver, handle) = Driver::new(new, DriverConfig::new().initial_wait(secs(2)));
    driver.resume(&old);
    let status = handle.status().sources;
    let backends: Vec<_> = status.iter().map(|source| source.backends).collect();
    assert_eq!(backends, [1, 0, 0]);
    assert!(status[0].last_success.is_some() && status[1].last_success.is_none());
    // The counters go on from those of the source there.
    let updates: Vec<_> = status.iter().map(|source| source.updates).collect();
    assert_eq!(updates, [1, 0, 0]);
    let mut run = RunningDriver::resume(driver, handle);
    // A set that was taken over is no answer: the driver waits for every source, and an answer replaces the set.
    assert_eq!(ports(&run.next().await), [3, 4, 5]);
    assert_eq!(run.elapsed().as_secs(), 2);
    let driver = run.stop().await;
    // A source that has yielded a set itself keeps it.
    let answers = Script::new([now(set(&[6, 7]))]);
    let (mut again, handle) = Driver::new(vec![answers], DriverConfig::new());
    again.resume(&driver);
    let backends = || handle.status().sources[0].backends;
    assert_eq!(backends(), 1);
    let mut run = RunningDriver::resume(again, handle.clone());
    assert_eq!(ports(&run.next().await), [6, 7]);
    run.stop().await.resume(&driver);
    assert_eq!(backends(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_taken_over_is_adapted_again() {
    let drains = |source: Arc<Script>, port| {
        let kept = Filter::new(source, move |b| b.addr.port() != port);
        Map::new(kept, move |b| match b.addr.port() > port {
            true => b.admin(AdminState::Drain),
            false => b,
        })
    };
    let given = Script::new([now(set(&[1, 2, 3]))]);
    let old: Vec<Arc<dyn Source>> = vec![Arc::new(drains(given, 3))];
    let mut run = RunningDriver::start(old, DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1, 2]);
    let old = run.stop().await;
    // A backend that only the old driver filtered out is published again, although the source yields nothing.
    let silent = Script::new([Watch::Hang]);
    let new: Vec<Arc<dyn Source>> = vec![Arc::new(drains(silent, 2))];
    let (mut driver, handle) = Driver::new(new, DriverConfig::new());
    driver.resume(&old);
    let mut run = RunningDriver::resume(driver, handle);
    let taken_over = run.next().await;
    assert_eq!(ports(&taken_over), [1, 3]);
    let states: Vec<_> = taken_over.iter().map(|b| b.admin).collect();
    assert_eq!(states, [AdminState::Ready, AdminState::Drain]);
    assert!(
        taken_over
            .iter()
            .all(|b| b.source.as_deref() == Some("script"))
    );
}

#[tokio::test(start_paused = true)]
async fn thousands_of_sources_make_one_set() {
    let sources = (1..=5_000).map(|port| Arc::new(Static::new(set(&[port]))) as Arc<dyn Source>);
    let mut run = RunningDriver::start(sources.collect(), DriverConfig::new());
    let first = run.next().await;
    assert_eq!(ports(&first), (1..=5_000).collect::<Vec<_>>());
    assert!(run.quiet_for(secs(60)).await);
    let old = run.stop().await;
    // Another driver takes all sets over.
    let silent = (1..=5_000).map(|port| {
        let source = Script::new([Watch::Hang]);
        let identity = Static::new(set(&[port])).identity();
        Arc::new(Known { source, identity }) as Arc<dyn Source>
    });
    let (mut driver, handle) = Driver::new(silent.collect(), DriverConfig::new());
    driver.resume(&old);
    let status = handle.status().sources;
    assert!(status.iter().all(|source| source.backends == 1));
}

/// A source with the identity of another one.
#[derive(Debug)]
struct Known {
    source: Arc<Script>,
    identity: Arc<str>,
}

#[async_trait]
impl Source for Known {
    fn label(&self) -> Arc<str> {
        self.source.label()
    }

    fn identity(&self) -> Arc<str> {
        Arc::clone(&self.identity)
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        self.source.watch().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_equal_set_is_not_published_again() {
    let sets = [&[1, 2], &[1, 2], &[2, 1]];
    let source = Script::new([Watch::Sets(
        sets.map(|ports| (secs(1), set(ports))).to_vec(),
    )]);
    let mut run = RunningDriver::start(vec![source], DriverConfig::new().initial_wait(secs(5)));
    assert_eq!(ports(&run.next().await), [1, 2]);
    assert_eq!(ports(&run.next().await), [2, 1]);
    assert_eq!(run.elapsed().as_millis() / 100, 30);
    assert_eq!(run.handle.status().sources[0].updates, 3);
}

#[tokio::test(start_paused = true)]
async fn a_burst_becomes_one_publication() {
    let (source, handle) = Manual::new(set(&[1]));
    let mut run = RunningDriver::start(vec![Arc::new(source)], DriverConfig::new());
    run.next().await;
    let changed = Instant::now();
    for port in 2..=10 {
        handle.add(backend(port));
        sleep(ms(4)).await;
    }
    assert_eq!(run.next().await.len(), 10);
    assert!((ms(50)..ms(60)).contains(&changed.elapsed()));
    assert!(run.quiet_for(secs(60)).await);
}

#[tokio::test(start_paused = true)]
async fn endless_changes_do_not_delay_the_publication() {
    let (source, handle) = Manual::new(set(&[1]));
    let mut run = RunningDriver::start(vec![Arc::new(source)], DriverConfig::new());
    run.next().await;
    let changes = tokio::spawn(async move {
        for port in 2..=101 {
            handle.add(backend(port));
            sleep(ms(10)).await;
        }
    });
    let all: Vec<u16> = (1..=101).collect();
    let publications = run.until_ports(&all).await;
    assert!((15..=21).contains(&publications), "{publications}");
    changes.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_first_publication_waits_for_every_source() {
    let slow = Script::new([Watch::Sets(vec![(ms(300), set(&[2]))])]);
    let fast = Static::new(set(&[1]));
    let mut run = RunningDriver::start(vec![Arc::new(fast), slow], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1, 2]);
    assert_eq!(run.elapsed(), ms(300));
}

#[tokio::test(start_paused = true)]
async fn the_first_publication_waits_for_initial_wait_at_most() {
    for hung in [Watch::Hang, Watch::Sets(vec![])] {
        let hung = Script::new([hung]);
        let fast = Static::new(set(&[1]));
        let mut run = RunningDriver::start(vec![hung, Arc::new(fast)], DriverConfig::new());
        assert_eq!(ports(&run.next().await), [1]);
        assert_eq!(run.elapsed(), secs(1));
        let status = run.handle.status();
        assert_eq!(status.sources[0].last_success, None);
        assert_eq!(status.sources[0].stale_for, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_source_does_not_delay_the_first_publication() {
    let failing = Script::new([Watch::Fail]);
    let fine = Static::new(set(&[1]));
    let mut run = RunningDriver::start(vec![failing, Arc::new(fine)], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1]);
    assert_eq!(run.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_empty_set_is_published_after_initial_wait() {
    let failing = Script::new([Watch::Fail, Watch::Fail, Watch::Fail, now(set(&[1]))]);
    let mut run = RunningDriver::start(vec![failing], DriverConfig::new());
    assert!(run.next().await.is_empty());
    assert_eq!(run.elapsed(), secs(1));
    assert_eq!(ports(&run.next().await), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_within_initial_wait_is_published_first() {
    let source = Script::new([Watch::Fail, now(set(&[1]))]);
    let mut run = RunningDriver::start(vec![source], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1]);
    assert!((ms(250)..=ms(501)).contains(&run.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn an_authoritative_empty_set_is_published_at_once() {
    let absent = Script::new([Watch::Absent(None)]);
    let empty = Static::new(Snapshot::default());
    let mut run = RunningDriver::start(vec![absent, Arc::new(empty)], DriverConfig::new());
    assert!(run.next().await.is_empty());
    assert_eq!(run.elapsed(), Duration::ZERO);
    let mut run = RunningDriver::start(vec![], DriverConfig::new());
    assert!(run.next().await.is_empty());
    assert_eq!(run.elapsed(), Duration::ZERO);
}
