//! Lists and handles.

use futures::{FutureExt, StreamExt};
use lb_core::{AdminState, Weight};
use lb_discovery::{Manual, Source, Static};
use test_support::discovery::{backend, ports, set};

#[tokio::test]
async fn a_static_source_yields_its_list_once() {
    let source = Static::new(set(&[1, 2])).labelled("list");
    assert_eq!(&*source.label(), "list");
    let mut sets = source.watch().await.unwrap();
    assert_eq!(sets.next().await.unwrap().unwrap(), set(&[1, 2]));
    assert!(sets.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_handle_changes_the_set() {
    let (source, handle) = Manual::new(set(&[1]));
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
async fn a_clone_is_another_handle_of_the_same_set() {
    let (source, handle) = Manual::new(set(&[1]));
    let mut sets = source.watch().await.unwrap();
    let mut next = async || ports(&sets.next().await.unwrap().unwrap());
    assert_eq!(next().await, [1]);
    let other = handle.clone();
    handle.add(backend(2));
    assert_eq!(ports(&other.snapshot()), [1, 2]);
    drop(handle);
    other.add(backend(3));
    assert_eq!(next().await, [1, 2, 3]);
}

#[tokio::test]
async fn a_handle_replaces_by_address_in_place() {
    let (_source, handle) = Manual::new(set(&[1, 2, 3]));
    let addr = backend(2).addr;
    handle.add(backend(2).weight(Weight::new(9)));
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
async fn a_handle_reports_unknown_addresses() {
    let (source, handle) = Manual::new(set(&[1]));
    let mut sets = source.watch().await.unwrap();
    sets.next().await.unwrap().unwrap();
    let unknown = backend(2).addr;
    assert!(!handle.remove(unknown));
    assert!(!handle.drain(unknown));
    assert!(!handle.resume(unknown));
    assert!(!handle.set_weight(unknown, Weight::ZERO));
    // No change wakes no watch, and neither does a change to an equal set.
    handle.set(set(&[1]));
    assert!(handle.resume(backend(1).addr));
    assert!(sets.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_dropped_handle_leaves_the_last_set() {
    let (source, handle) = Manual::new(set(&[1]));
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
