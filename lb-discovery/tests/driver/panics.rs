//! Sources whose code panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use lb_core::Snapshot;
use lb_discovery::{
    DiscoveryError, Driver, DriverConfig, Filter, Lookup, Manual, Map, Polled, Resolved,
    SnapshotStream, Source,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{now, secs};
use test_support::discovery::{RunningDriver, Script, ports, set};
use test_support::fuse::Fuse;

/// A source that panics once.
#[derive(Clone, Debug)]
struct Fragile(Arc<Fuse>);

#[async_trait]
impl Source for Fragile {
    fn label(&self) -> Arc<str> {
        self.0.burn("label");
        "fragile".into()
    }

    fn identity(&self) -> Arc<str> {
        self.0.burn("identity");
        "fragile identity".into()
    }

    /// Two items, a second apart.
    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        self.0.burn("watch");
        let fragile = Arc::clone(&self.0);
        let items = stream::unfold(0_u64, move |n| {
            let fragile = Arc::clone(&fragile);
            async move {
                sleep(secs(n)).await;
                fragile.burn("item");
                (n < 2).then(|| (Ok(set(&[1])), n + 1))
            }
        });
        Ok(items.boxed())
    }

    fn adapt(&self, raw: Snapshot) -> Snapshot {
        self.0.burn("adapt");
        raw
    }

    fn refresh(&self) {
        self.0.burn("refresh");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_keeps_its_set_restarts_and_leaves_its_neighbour_alone() {
    for method in ["watch", "item", "adapt", "refresh"] {
        for call in [1, 2, 100] {
            let fragile = Fragile(Fuse::armed(method, call));
            panics_once(Arc::new(fragile), &format!("{method} {call}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_of_a_map_or_a_filter_that_panics_is_a_panic_of_the_source() {
    for call in [1, 2, 100] {
        let source = || Fragile(Fuse::new("nothing", call));
        let (mapping, filtering) = (Fuse::armed("map", call), Fuse::armed("filter", call));
        let map = Map::new(source(), move |backend| {
            mapping.burn("map");
            backend
        });
        let filter = Filter::new(source(), move |_| {
            filtering.burn("filter");
            true
        });
        panics_once(Arc::new(map), &format!("map {call}")).await;
        panics_once(Arc::new(filter), &format!("filter {call}")).await;
    }
}

/// Follows a source that panics once, beside another one. `what` is what panics.
async fn panics_once(source: Arc<dyn Source>, what: &str) {
    let steady = Script::new([now(set(&[2]))]);
    let mut run = RunningDriver::start(vec![source, steady], DriverConfig::new());
    run.until_ports(&[1, 2]).await;
    let mut rounds = 0;
    while run.handle.status().sources[0].panics == 0 {
        run.handle.refresh();
        sleep(secs(1)).await;
        rounds += 1;
        assert!(rounds < 10_000, "{what}");
    }
    let status = run.handle.status();
    assert_eq!(status.sources[0].panics, 1, "{what}");
    assert!(status.sources[0].failures >= 1);
    let known = status.sources[0].backends;
    assert_eq!(known, 1, "the last good set stays: {what}");
    let updates = status.sources[0].updates;
    // It restarts, and the union has stayed as it was.
    while run.handle.status().sources[0].updates == updates {
        sleep(secs(1)).await;
    }
    assert!(run.quiet_for(secs(60)).await, "{what}");
    let status = run.handle.status();
    assert_eq!(
        (status.sources[1].failures, status.sources[1].panics),
        (0, 0)
    );
    run.stop().await;
}

/// The caller gets the panic, and runs the driver again.
#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_ends_the_run_and_the_next_run_publishes_what_is_known() {
    for call in [1, 2, 100] {
        let fuse = Fuse::armed("sink", call);
        let (source, handle) = Manual::new(set(&[1]));
        let sources: Vec<Arc<dyn Source>> = vec![Arc::new(source)];
        let (mut driver, status) = Driver::new(sources, DriverConfig::new());
        let (mut panics, mut published) = (0, Vec::new());
        for round in 0..call as u16 + 2 {
            handle.set(set(&[1, 100 + round]));
            let cancel = CancellationToken::new();
            let sink = |snapshot: Snapshot| {
                fuse.burn("sink");
                published.push(ports(&snapshot));
            };
            let run = AssertUnwindSafe(driver.run(sink, cancel)).catch_unwind();
            // It runs for ever, unless the sink panics.
            panics += usize::from(timeout(secs(9), run).await.is_ok_and(|run| run.is_err()));
            assert_eq!(status.status().sources[0].failures, 0);
        }
        assert_eq!(panics, 1);
        let last = 101 + call as u16;
        assert_eq!(published.last(), Some(&vec![1, last]));
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_source_that_panics_names_it_and_its_message() {
    let fragile = Arc::new(Fragile(Fuse::armed("watch", 1)));
    let mut run = RunningDriver::start(vec![fragile], DriverConfig::new());
    while run.handle.status().sources[0].failures == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let status = run.handle.status();
    let error = status.sources[0].last_error.as_deref();
    assert_eq!(
        error,
        Some("watching fragile: panicked: watch panics as the test wants")
    );
    run.until_ports(&[1]).await;
    run.stop().await;
}

/// The first call is that of the driver's constructor, where the embedder gets the panic.
#[tokio::test(start_paused = true)]
async fn an_identity_that_panics_later_costs_the_last_set_alone() {
    let source = |call| Arc::new(Fragile(Fuse::armed("identity", call))) as Arc<dyn Source>;
    let steady = || Script::new([now(set(&[2]))]) as Arc<dyn Source>;
    let config = DriverConfig::new;
    let (driver, handle) = Driver::new(vec![source(3), steady()], config());
    let mut run = RunningDriver::resume(driver, handle);
    run.until_ports(&[1, 2]).await;
    let labels = |run: &RunningDriver| {
        let sets = run.handle.last_sets();
        sets.iter()
            .map(|set| set.label.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(labels(&run), ["fragile", "script"]);
    assert_eq!(labels(&run), ["script"], "the third call panics");
    assert_eq!(labels(&run), ["fragile", "script"]);
    let old = run.stop().await;
    // The first call of the new source is that of its own driver.
    let (mut next, handle) = Driver::new(vec![source(100), steady()], config());
    next.resume(&old);
    assert_eq!(handle.status().sources[0].backends, 1);

    let (driver, handle) = Driver::new(vec![source(2), steady()], config());
    let mut run = RunningDriver::resume(driver, handle);
    run.until_ports(&[1, 2]).await;
    let old = run.stop().await;
    let (mut next, handle) = Driver::new(vec![source(100), steady()], config());
    next.resume(&old);
    let backends: Vec<_> = handle.status().sources.iter().map(|s| s.backends).collect();
    assert_eq!(backends, [0, 1]);
    let mut run = RunningDriver::resume(next, handle);
    let first = run.next().await;
    assert!(ports(&first).contains(&2));
    run.stop().await;
}

#[derive(Clone, Debug)]
struct FragileLookup(Arc<Fuse>);

#[async_trait]
impl Lookup for FragileLookup {
    fn label(&self) -> Arc<str> {
        "fragile".into()
    }

    async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
        self.0.burn("lookup");
        Ok(Resolved::new(set(&[1]), None))
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_panics_keeps_its_set_and_is_asked_again() {
    for call in [1, 2, 100] {
        let lookup = FragileLookup(Fuse::armed("lookup", call));
        let polled = Polled::new(lookup).interval(secs(1));
        let steady = Script::new([now(set(&[2]))]);
        let mut run = RunningDriver::start(vec![Arc::new(polled), steady], DriverConfig::new());
        run.until_ports(&[1, 2]).await;
        while run.handle.status().sources[0].panics == 0 {
            sleep(secs(1)).await;
        }
        let updates = run.handle.status().sources[0].updates;
        while run.handle.status().sources[0].updates == updates {
            sleep(secs(1)).await;
        }
        assert!(run.quiet_for(secs(60)).await, "{call}");
        let status = run.handle.status();
        assert_eq!(
            (status.sources[0].panics, status.sources[0].backends),
            (1, 1)
        );
        assert_eq!(status.sources[1].failures, 0);
        run.stop().await;
    }
}
