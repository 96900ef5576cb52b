//! After any history of its sources, a driver has the union that it would have had it started at the end.

use std::sync::Arc;
use std::time::Duration;

use lb_core::{Snapshot, Weight};
use lb_discovery::{DriverConfig, Merge, OnEmpty, Source, Static};
use proptest::prelude::*;
use test_support::discovery::{RunningDriver, Script, Watch, backend};

/// Something that a source does.
#[derive(Clone, Debug)]
enum Event {
    /// It gives a set, after so many milliseconds.
    Set(u64, Vec<(u16, u16)>),
    /// Its watch ends, or fails, and cannot be opened so many times.
    Fail(usize),
    /// It says with authority that there is nothing.
    Absent,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let set = prop::collection::vec((1..6_u16, 0..3_u16), 0..5);
    let event = prop_oneof![
        3 => (0..300_u64, set).prop_map(|(delay, set)| Event::Set(delay, set)),
        1 => (1..3_usize).prop_map(Event::Fail),
        1 => Just(Event::Absent),
    ];
    prop::collection::vec(event, 1..8)
}

fn snapshot(set: &[(u16, u16)]) -> Snapshot {
    let backends = set
        .iter()
        .map(|(port, weight)| backend(*port).weight(Weight::new(*weight)));
    backends.collect()
}

/// The watches in which a source does all that, and then nothing more.
fn watches(events: &[Event]) -> Vec<Watch> {
    let mut watches = Vec::new();
    let mut sets = Vec::new();
    for event in events {
        let next = match event {
            Event::Set(delay, set) => {
                sets.push((Duration::from_millis(*delay), snapshot(set)));
                continue;
            }
            Event::Fail(times) => vec![Watch::Fail; *times],
            Event::Absent => vec![Watch::Absent(Some(Duration::from_secs(1)))],
        };
        watches.push(Watch::SetsThenEnd(std::mem::take(&mut sets)));
        watches.extend(next);
    }
    watches.push(Watch::Sets(sets));
    watches
}

/// What is left of all that: the last good set.
fn last(events: &[Event], on_empty: OnEmpty) -> Snapshot {
    let mut last = Snapshot::default();
    for event in events {
        match event {
            Event::Set(_, set) => last = snapshot(set),
            Event::Absent if on_empty == OnEmpty::Apply => last = Snapshot::default(),
            Event::Absent | Event::Fail(_) => {}
        }
    }
    last
}

/// Follows `sources` until nothing more happens, and gives what was published last.
async fn settled(sources: Vec<Arc<dyn Source>>, config: DriverConfig) -> Snapshot {
    let mut run = RunningDriver::start(sources, config);
    let mut last = run.next().await;
    while let Some(next) = run.next_within(Duration::from_secs(600)).await {
        last = next;
    }
    run.stop().await;
    last
}

/// A runtime in which time passes as fast as it can.
fn paused() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_union_is_that_of_fresh_answers(
        sources in prop::collection::vec(events(), 1..4),
        apply in any::<bool>(),
        merged in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (found, expected) = paused().block_on(async {
            let on_empty = if apply { OnEmpty::Apply } else { OnEmpty::KeepLast };
            let config = DriverConfig::new().on_empty(on_empty).seed(seed);
            let config = config.backoff_max(Duration::from_secs(2));
            let scripts = sources.iter().map(|events| Script::new(watches(events)));
            let scripts: Vec<_> = scripts.collect();
            let mut followed: Vec<Arc<dyn Source>> = Vec::new();
            followed.extend(scripts.iter().map(|script| Arc::clone(script) as Arc<dyn Source>));
            if merged {
                let merge = followed.into_iter().fold(Merge::new(), Merge::part);
                followed = vec![Arc::new(merge)];
            }
            let found = settled(followed, config.clone()).await;
            for (script, events) in scripts.iter().zip(&sources) {
                assert!(script.opens() >= watches(events).len(), "it ran to its end");
            }
            let fresh = sources.iter().map(|events| -> Arc<dyn Source> {
                Arc::new(Static::new(last(events, on_empty)).labelled("script"))
            });
            (found, settled(fresh.collect(), config).await)
        });
        prop_assert_eq!(found, expected);
    }
}
