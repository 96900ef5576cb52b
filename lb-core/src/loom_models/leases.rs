//! Leases, which are counted by references, beside updates that hold references as well.

use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::*;

#[test]
fn leases_beside_an_update_are_counted() {
    explore(Some(2), || {
        let (mut updater, balancer) = world(First::new(), [backend(1)]);
        let held = pick(&balancer).unwrap();
        let taken = run(&balancer, |balancer| pick(balancer).unwrap());
        let ended = run(&balancer, |balancer| drop(pick(balancer).unwrap()));
        updater.apply(&snapshot([backend(1), backend(2)]), NOW);
        ended.join().unwrap();
        let taken = taken.join().unwrap();
        assert_eq!(in_flight(&balancer, 1), 2);
        drop(held);
        assert_eq!(in_flight(&balancer, 1), 1);
        drop(taken);
        assert_eq!(in_flight(&balancer, 1), 0);
    });
}

/// A lease from before its backend had a limit has no permit: only the references count it.
#[test]
fn a_lease_without_a_permit_is_never_overlooked() {
    explore(Some(3), || {
        let (mut updater, balancer) = world(First::new(), [backend(1)]);
        let unpermitted = pick(&balancer).unwrap();
        updater.apply(&snapshot([limited(1, 1)]), NOW);
        let refused = |balancer: &Balancer| assert!(pick(balancer).is_err(), "one too many");
        let other = run(&balancer, refused);
        updater.apply(&snapshot([limited(1, 1), drained()]), NOW);
        other.join().unwrap();
        drop(unpermitted);
        assert!(pick(&balancer).is_ok(), "a permit was lost");
    });
}

#[test]
fn a_read_beside_an_update_counts_no_connection_less() {
    explore(Some(3), || {
        let (mut updater, balancer) = world(First::new(), [backend(1)]);
        let _unpermitted = pick(&balancer).unwrap();
        updater.apply(&snapshot([limited(1, 1)]), NOW);
        let read = run(&balancer, |balancer| {
            let membership = balancer.published.current();
            assert!(membership.tiers()[0].tier.slots()[0].is_full());
        });
        updater.apply(&snapshot([limited(1, 1), drained()]), NOW);
        read.join().unwrap();
    });
}

/// Takes a lease and ends it, unless `max` are in flight. `held` counts those that really are.
fn compete(balancer: &Balancer, held: &AtomicU32, max: u32) -> bool {
    let Ok(pick) = pick(balancer) else {
        return false;
    };
    assert!(held.fetch_add(1, Relaxed) < max, "more than max_conns");
    held.fetch_sub(1, Relaxed);
    drop(pick);
    true
}

/// Two threads compete, one of them after an `update`.
fn compete_beside(preemptions: usize, update: fn(&mut Updater)) {
    explore(Some(preemptions), move || {
        let (mut updater, balancer) = world(First::new(), [limited(1, 1)]);
        let held = Arc::new(AtomicU32::new(0));
        let other = {
            let held = Arc::clone(&held);
            run(&balancer, move |balancer| compete(balancer, &held, 1))
        };
        update(&mut updater);
        compete(&balancer, &held, 1);
        other.join().unwrap();
        assert!(pick(&balancer).is_ok(), "a permit was lost");
        assert_eq!(in_flight(&balancer, 1), 0);
    });
}

#[test]
fn max_conns_holds_while_the_set_is_replaced() {
    compete_beside(1, |updater| {
        updater.apply(&snapshot([limited(1, 1), drained()]), NOW);
    });
    compete_beside(2, |updater| updater.set_policy(Arc::new(First::new())));
}

#[test]
fn max_conns_holds_beside_a_lease_without_a_permit() {
    explore(Some(2), || {
        let (mut updater, balancer) = world(First::new(), [backend(1)]);
        let unpermitted = pick(&balancer).unwrap();
        updater.apply(&snapshot([limited(1, 2)]), NOW);
        let held = Arc::new(AtomicU32::new(1));
        let others = [0, 1].map(|_| {
            let held = Arc::clone(&held);
            run(&balancer, move |balancer| compete(balancer, &held, 2))
        });
        join(others);
        drop(unpermitted);
        let two = [pick(&balancer), pick(&balancer)];
        assert!(two.iter().all(Result::is_ok), "a permit was lost");
        assert!(pick(&balancer).is_err());
    });
}
