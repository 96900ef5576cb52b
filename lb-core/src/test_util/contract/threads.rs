//! Several threads at once.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::balancer::balancer;
use crate::pick::request::{PickError, PickRequest, Tried};
use crate::policy::{Policy, PolicyKind};
use crate::rng::SplitMix64;
use crate::snapshot::Snapshot;
use crate::test_util::rig::{at, backend};
use crate::test_util::stopping::Stopping;

/// Four threads pick and release at once: `max_conns` holds, and no lease is lost.
pub fn threads_share_without_loss(policy: impl Fn() -> Arc<dyn Policy>) {
    const MAX: u32 = 3;
    let name = policy().name();
    let limited = |i| backend(i, 1).max_conns(MAX);
    let snapshot: Snapshot = (0..4).map(limited).collect();
    let (mut updater, balancer) = balancer(policy());
    updater.apply(&snapshot, at(0));
    let in_flight = || {
        let set = balancer.set();
        set.status(at(0)).map(|s| s.in_flight).collect::<Vec<_>>()
    };
    let work = |seed| {
        let mut rng = SplitMix64::new(seed);
        let mut held = VecDeque::new();
        let tried = Tried::new();
        for n in 0..5_000_u32 {
            let key = n.to_le_bytes();
            let request = PickRequest::new(&tried).key(&key);
            match balancer.pick(&request, at(0), &mut rng) {
                Ok(pick) => held.push_back(pick),
                // Four threads of four leases each can fill all twelve slots.
                Err(error) => assert_eq!(error, PickError::Exhausted, "{name}"),
            }
            if held.len() > 4 {
                held.pop_front();
            }
            let found = in_flight();
            assert!(found.iter().all(|&n| n <= MAX), "{name}: {found:?}");
        }
    };
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let work = &work;
            scope.spawn(move || work(seed));
        }
    });
    assert_eq!(in_flight(), [0; 4], "{name}: after every lease ended");
    for kind in PolicyKind::ALL {
        updater.set_policy(kind.build());
        assert_eq!(in_flight(), [0; 4], "{name}");
    }
}

/// While a thread is stopped inside a pick, others pick, release, report and update: a pick holds no lock.
pub fn a_stopped_pick_blocks_no_other_thread(policy: impl Fn() -> Arc<dyn Policy>) {
    let (stopping, gate) = Stopping::new(policy());
    let (mut updater, balancer) = balancer(Arc::new(stopping));
    let unlimited = |weight, i| backend(i, weight).fail_limit(None);
    let of = |weight| -> Snapshot { (0..3).map(|i| unlimited(weight, i)).collect() };
    updater.apply(&of(7), at(0));
    let next = policy();
    let pick = |seed| {
        let tried = Tried::new();
        let request = PickRequest::new(&tried).key(b"key");
        balancer.pick(&request, at(0), &mut SplitMix64::new(seed))
    };
    let (done, is_done) = mpsc::channel();
    std::thread::scope(|scope| {
        let standing = scope.spawn(|| pick(0).map(drop));
        gate.meet();
        let others = scope.spawn(|| {
            for (seed, weight) in (1..).zip([1, 2, 3]) {
                let one = pick(seed);
                let other = pick(seed + 10);
                one.iter().for_each(|pick| pick.connected(at(0)));
                let _ = other.map(|pick| pick.failed(at(0)));
                updater.apply(&of(weight), at(1));
                updater.set_policy(Arc::clone(&next));
            }
            let _ = done.send(());
        });
        let waited = is_done.recv_timeout(Duration::from_secs(10));
        gate.meet();
        assert!(
            waited.is_ok(),
            "{}: other threads were blocked",
            policy().name()
        );
        assert_eq!(others.join().ok(), Some(()));
        assert_eq!(standing.join().ok(), Some(Ok(())), "{}", policy().name());
    });
}
