//! Unions of sources.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use lb_core::{Priority, Snapshot, Weight};
use lb_discovery::{DriverConfig, Filter, Manual, Map, Merge, Source, Static};
use test_support::deadline::eventually;
use test_support::discovery::{RunningDriver, Script, Watch, backend, ports, set};

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
    let backup = backend(2).priority(Priority::BACKUP);
    let near = Static::new([backend(1), backup].into_iter().collect()).labelled("near");
    let (source, far) = Manual::new(set(&[3, 2]));
    let nested = Merge::new()
        .part(source)
        .shifted_part(Static::new(set(&[4])), 255);
    let merge = Merge::new().part(near).shifted_part(nested, 2);
    assert_eq!(&*merge.label(), "merge(near, merge(manual, static))");

    // Without a driver and with one the union is the same; a driver has a status for each part.
    let mut sets = merge.watch().await.unwrap();
    let mut run = RunningDriver::start(vec![Arc::new(merge)], DriverConfig::new());
    let labels = run.handle.status().sources;
    let labels: Vec<_> = labels.iter().map(|s| s.label.to_string()).collect();
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
        [backend(1).weight(Weight::new(9)), backend(4)]
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
async fn a_part_that_fails_keeps_its_set_while_the_other_part_is_followed() {
    let failing = Script::new([
        Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))]),
        Watch::Fail,
    ]);
    let (fine, handle) = Manual::new(set(&[2, 3]));
    let merge = Merge::new()
        .part(Arc::clone(&failing))
        .shifted_part(fine, 1);
    let odd = Filter::new(merge, |b| b.addr.port() != 3);
    let source = Map::new(odd, |b| b.weight(Weight::new(7)));
    let mut run = RunningDriver::start(vec![Arc::new(source)], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1, 2]);
    eventually("the error", || run.handle.status().sources[0].failures > 2).await;
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
async fn a_merge_without_a_driver_ends_with_its_first_part() {
    let ends = Script::new([Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))])]);
    let merge = Merge::new()
        .part(Static::new(set(&[2])))
        .part(Arc::clone(&ends));
    let mut sets = merge.watch().await.unwrap();
    assert_eq!(ports(&sets.next().await.unwrap().unwrap()), [2, 1]);
    let error = sets.next().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "watching script: the source ended");
    merge.refresh();
    assert_eq!(ends.refreshes(), 1);
    // A withdrawal of one part ends the watch, whatever the other parts yield.
    let sets = vec![(Duration::ZERO, set(&[1]))];
    let withdrawn = Script::new([Watch::Withdrawn(sets.clone(), sets)]);
    let (source, handle) = Manual::new(set(&[2]));
    let merge = Merge::new().part(source).part(withdrawn);
    let mut sets = merge.watch().await.unwrap();
    assert_eq!(ports(&sets.next().await.unwrap().unwrap()), [2, 1]);
    let error = sets.next().await.unwrap().unwrap_err();
    assert!(error.is_authoritative_empty());
    handle.add(backend(3));
    assert!(sets.next().await.is_none());
    let fails = Merge::new().part(Script::new([Watch::Fail]));
    assert!(fails.watch().await.is_err());
    let mut nothing = Merge::new().watch().await.unwrap();
    assert!(nothing.next().await.unwrap().unwrap().is_empty());
    assert!(nothing.next().now_or_never().is_none());
}
