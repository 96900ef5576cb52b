//! Replicas with different histories: at rest they send each of 100000 clients to the same backend.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::support::{Bench, addr, at, backend};
use lb_core::policy::PolicyKind;
use lb_core::{Backend, FailLimit, Health, Snapshot, Tried, Weight};

const HASHING: [PolicyKind; 5] = [
    PolicyKind::Ketama,
    PolicyKind::Maglev,
    PolicyKind::NginxHash,
    PolicyKind::Rendezvous,
    PolicyKind::RingHash,
];
const CLIENTS: usize = 100_000;
const WEIGHTS: [u16; 6] = [1, 2, 1, 4, 1, 3];
/// The backend that one replica finds at fault.
const FAULTY: usize = 3;

/// A backend that a failure ejects for ten seconds.
fn limited(i: usize) -> Backend {
    let limit = FailLimit::new(NonZeroU32::MIN, Duration::from_secs(10));
    let weight = Weight::new(WEIGHTS[i]);
    backend(i).weight(weight).fail_limit(Some(limit))
}

fn set(numbers: impl IntoIterator<Item = usize>) -> Snapshot {
    numbers.into_iter().map(limited).collect()
}

/// The port-less places of all clients: the address of the backend of each.
fn choices(replica: &mut Bench, seconds: u64) -> Vec<std::net::IpAddr> {
    let mut choice = |client: usize| {
        let key = u32::try_from(client).unwrap().to_be_bytes();
        let pick = replica.pick_key(&key, &Tried::new(), at(seconds)).unwrap();
        pick.addr().ip()
    };
    (0..CLIENTS).map(&mut choice).collect()
}

/// A replica that has seen everything once: sets that grew and shrank in another order, a source that withdrew them all, a failed
/// backend, a failed check. Seconds 0 to 2. The backend is ejected at its end.
fn eventful(kind: PolicyKind, last: &Snapshot) -> Bench {
    let mut replica = Bench::new(kind.build(), &set([4, 1]));
    for snapshot in [
        set([5, 4, 0, 1]),
        Snapshot::default(),
        set([3]),
        last.clone(),
    ] {
        choices_of_some(&mut replica);
        replica.updater.apply(&snapshot, at(1));
    }
    assert!(replica.check(0, Health::Unhealthy, at(1)));
    assert!(replica.check(0, Health::Healthy, at(2)));
    let failing = replica.pick_only(FAULTY, WEIGHTS.len(), at(2)).unwrap();
    failing.failed(at(2));
    replica
}

/// Connections of clients, which leave their traces in the state of the backends.
fn choices_of_some(replica: &mut Bench) {
    for key in 0..100_u32 {
        if let Ok(pick) = replica.pick_key(&key.to_le_bytes(), &Tried::new(), at(1)) {
            pick.connected(at(1));
        }
    }
}

/// A process that begins with what `before` knows, and then gets the set from its sources.
fn restarted(kind: PolicyKind, before: &Bench, last: &Snapshot) -> Bench {
    let mut replica = Bench::new(kind.build(), &Snapshot::default());
    let known: Vec<_> = before.balancer.set().memories(at(3)).collect();
    // Backends that are known already would keep their state.
    replica.updater.recall(known, at(3));
    replica
        .updater
        .apply(before.balancer.set().snapshot(), at(3));
    replica.updater.apply(last, at(3));
    let set = replica.balancer.set();
    let ejected = set.status(at(4)).filter(|one| one.ejected_until.is_some());
    let ejected: Vec<_> = ejected.map(|one| one.backend.addr).collect();
    assert_eq!(ejected, [addr(FAULTY)], "{kind}");
    replica
}

fn changed<T: PartialEq>(one: &[T], other: &[T]) -> usize {
    one.iter().zip(other).filter(|(a, b)| a != b).count()
}

#[test]
fn replicas_with_different_histories_choose_alike_at_rest() {
    for kind in HASHING {
        let listed = set(0..WEIGHTS.len());
        // nginx's modulo method depends on the order of the list, which both have from the same configuration.
        let last = match kind {
            PolicyKind::NginxHash => listed.clone(),
            _ => set((0..WEIGHTS.len()).rev()),
        };
        let mut quiet = Bench::new(kind.build(), &listed);
        let mut eventful = eventful(kind, &last);
        let mut restarted = restarted(kind, &eventful, &last);
        let expected = choices(&mut quiet, 4);
        let faulty = expected.iter().filter(|ip| **ip == addr(FAULTY).ip());
        let faulty = faulty.count();
        let meanwhile = changed(&expected, &choices(&mut eventful, 4));
        assert!(meanwhile >= faulty, "{kind}: not ejected");
        for replica in [&mut eventful, &mut restarted] {
            // The time of the ejection passes, and a connection succeeds.
            let probe = replica.pick_only(FAULTY, WEIGHTS.len(), at(20)).unwrap();
            probe.connected(at(20));
            drop(probe);
        }
        let survivors = [&mut eventful, &mut restarted].map(|replica| choices(replica, 40));
        // A router sends each client to one of the replicas, and to another one after that has been killed.
        let moved = survivors.map(|survivor| changed(&expected, &survivor));
        eprintln!(
            "{kind}: of {CLIENTS} clients {moved:?} change the backend after the first replica is killed"
        );
        assert_eq!(moved, [0, 0], "{kind}");
        assert_eq!(
            quiet.balancer.digests(),
            eventful.balancer.digests(),
            "{kind}"
        );
        assert_eq!(
            quiet.balancer.digests(),
            restarted.balancer.digests(),
            "{kind}"
        );
    }
}
