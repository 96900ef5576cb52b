//! Updates: every later pick sees them, and the state of backends that stay survives.

use loom::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};

use std::num::NonZeroU32;

use super::*;
use crate::FailLimit;

fn port(pick: Result<Pick, PickError>) -> u16 {
    pick.unwrap().addr().port()
}

#[test]
fn a_pick_after_an_update_sees_it_and_one_beside_it_sees_either() {
    explore(None, || {
        let (mut updater, balancer) = world(First::new(), [backend(1)]);
        let applied = Arc::new(AtomicBool::new(false));
        let beside = {
            let applied = Arc::clone(&applied);
            run(&balancer, move |balancer| {
                assert!([1, 2].contains(&port(pick(balancer))));
                let after = applied.load(Acquire);
                let picked = port(pick(balancer));
                assert!(picked == 2 || picked == 1 && !after, "an update was lost");
            })
        };
        updater.apply(&snapshot([backend(2)]), NOW);
        applied.store(true, Release);
        assert_eq!(port(pick(&balancer)), 2);
        beside.join().unwrap();
        assert_eq!(in_flight(&balancer, 2), 0);
    });
}

#[test]
fn memberships_do_not_go_back() {
    explore(Some(3), || {
        let (mut updater, balancer) = world(First::new(), [backend(1)]);
        let beside = run(&balancer, |balancer| {
            let picked = [(); 3].map(|()| port(pick(balancer)));
            assert!(picked.is_sorted(), "{picked:?}");
        });
        updater.apply(&snapshot([backend(2)]), NOW);
        updater.apply(&snapshot([backend(3)]), NOW);
        beside.join().unwrap();
    });
}

fn fragile(port: u16) -> Backend {
    let ten = NonZeroU32::new(10).unwrap();
    backend(port).fail_limit(Some(FailLimit::new(ten, Duration::from_secs(10))))
}

/// A backend is removed and returns, with `policy`, while other connections begin and end.
fn is_removed_and_returns<P: Policy>(policy: fn() -> P, preemptions: usize) {
    explore(Some(preemptions), move || {
        let (mut updater, balancer) = world(policy(), [fragile(1), fragile(2)]);
        pick(&balancer).unwrap().failed(NOW);
        let held = pick(&balancer).unwrap();
        let port = held.addr().port();
        let others = run(&balancer, |balancer| {
            drop(pick(balancer).unwrap());
            drop(pick(balancer).unwrap());
        });
        updater.apply(&snapshot([fragile(3 - port)]), NOW);
        updater.apply(&snapshot([fragile(1), fragile(2)]), NOW);
        assert_eq!(
            fails(&balancer, port),
            1,
            "forgotten while a connection was in flight"
        );
        others.join().unwrap();
        assert_eq!(in_flight(&balancer, port), 1);
        drop(held);
        assert_eq!(in_flight(&balancer, port), 0);
    });
}

fn fails(balancer: &Balancer, port: u16) -> u32 {
    let set = balancer.set();
    set.find(backend(port).addr)
        .unwrap()
        .state()
        .failures
        .fails()
}

#[test]
fn a_backend_that_returns_while_a_connection_is_in_flight_has_its_state() {
    is_removed_and_returns(First::new, 2);
    is_removed_and_returns(load_index::Tracked::least, 2);
}

#[test]
fn a_backend_that_returns_while_its_last_connection_ends_is_counted() {
    for indexed in [false, true] {
        explore(Some(3), move || {
            let policy: Arc<dyn Policy> = if indexed {
                Arc::new(load_index::Tracked::least())
            } else {
                Arc::new(First::new())
            };
            let (mut updater, balancer) = world(policy, [backend(1)]);
            let held = pick(&balancer).unwrap();
            let ends = run(&balancer, |_| drop(held));
            updater.apply(&snapshot([backend(2)]), NOW);
            updater.apply(&snapshot([backend(1)]), NOW);
            ends.join().unwrap();
            assert_eq!(in_flight(&balancer, 1), 0);
            let one = pick(&balancer).unwrap();
            assert_eq!(in_flight(&balancer, 1), 1);
            drop(one);
        });
    }
}
