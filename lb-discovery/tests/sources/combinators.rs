//! Combinators that change or filter backends.

use std::sync::Arc;

use futures::StreamExt;
use lb_core::Priority;
use lb_discovery::{Filter, Manual, Map, Source};
use test_support::discovery::{Script, Watch, backend, ports, set};

#[tokio::test]
async fn a_map_changes_every_backend_of_every_set() {
    let (source, handle) = Manual::new(set(&[1]));
    let source = Map::new(source, |b| b.priority(Priority::BACKUP));
    assert_eq!(&*source.label(), "manual");
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
    let boxed: Box<dyn Source> = Box::new(source);
    boxed.refresh();
    assert_eq!(script.refreshes(), 2);
}

#[tokio::test]
async fn a_filter_leaves_out_what_is_not_wanted() {
    let (source, handle) = Manual::new(set(&[1, 2, 3]));
    let source = Filter::new(source, |b| b.addr.port() % 2 == 1);
    assert_eq!(&*source.label(), "manual");
    let mut sets = source.watch().await.unwrap();
    let mut next = async || ports(&sets.next().await.unwrap().unwrap());
    assert_eq!(next().await, [1, 3]);
    handle.set(set(&[2, 4]));
    assert_eq!(next().await, [0; 0]);
}
