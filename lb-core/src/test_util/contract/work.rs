//! The cost of a pick, and its view of the load.

use std::sync::Arc;

use crate::balancer::balancer;
use crate::lease::pick::Pick;
use crate::pick::request::{PickRequest, Tried};
use crate::policy::Policy;
use crate::rng::SplitMix64;
use crate::test_util::expectations::{Cost, Load};
use crate::test_util::rig::{Rig, at, backend, tried, weighted};

/// A backend with ten connections gets none of the next thousand while two others are idle. Checks nothing for
/// [`Load::Ignored`].
pub fn load_is_seen(policy: impl Fn() -> Arc<dyn Policy>, load: Load) {
    if load == Load::Ignored {
        return;
    }
    let mut rig = Rig::new(policy(), &weighted(&[1, 1, 1]));
    let held: Vec<Pick> = (0..10).map(|_| rig.pick_only(0)).collect();
    let counts = rig.counts(&Tried::new(), 1000);
    let name = policy().name();
    assert_eq!(counts[0], 0, "{name}: {counts:?} with the first one busy");
    drop(held);
}

/// Picks among 1 to 10 000 backends ask no more questions than `cost` allows, and no more than the limit for any state
/// when a single backend is eligible.
///
/// (Every other property checks that limit too.)
pub fn work_is_bounded(policy: impl Fn() -> Arc<dyn Policy>, cost: Cost) {
    for n in [1, 2, 10, 32, 100, 10_000] {
        let mut rig = Rig::new(policy(), &weighted(&vec![1; n]));
        let mut last = None;
        for _ in 0..20 {
            last = rig.pick(&Tried::new(), Some(b"key"), at(0)).ok();
        }
        let (name, asked) = (policy().name(), rig.watched.costliest());
        let limit = cost.limit(n);
        assert!(
            asked <= limit,
            "{name}: a pick among {n} backends asked {asked} questions, {limit} are allowed"
        );
        drop(last);
        // All but one are full.
        let full = |i| {
            let max = u32::from(i != n / 2);
            backend(i, 1).max_conns(max)
        };
        if n <= 100 {
            let mut rig = Rig::new(policy(), &(0..n).map(full).collect());
            let others = (0..n).filter(|&i| i != n / 2);
            let held: Vec<Pick> = others.map(|i| rig.pick_only(i)).collect();
            let counts = rig.counts(&Tried::new(), 10);
            assert_eq!(counts[n / 2], 10, "{name}: among {n}, all but one full");
            drop(held);
        }
    }
}

/// Picks, reports and releases do not allocate or free, neither while all backends are eligible nor while some are not.
///
/// `allocations` runs its argument and returns how often that allocated or freed, as the allocator of your test counts.
pub fn picks_allocate_nothing(
    policy: impl Fn() -> Arc<dyn Policy>,
    allocations: impl Fn(&mut dyn FnMut()) -> u64,
) {
    let name = policy().name();
    let (mut updater, balancer) = balancer(policy());
    updater.apply(&weighted(&[5, 1, 3, 1, 1, 2, 40]), at(0));
    let mut rng = SplitMix64::new(1);
    // arc-swap allocates once for each thread, at its first pick.
    drop(balancer.pick(&PickRequest::new(&Tried::new()), at(0), &mut rng));
    for tried in [Tried::new(), tried([0, 2, 6])] {
        let mut connections = || {
            for n in 0..50_u64 {
                let (key, now) = (n.to_le_bytes(), at(20 * n));
                let request = PickRequest::new(&tried).key(&key);
                let pick = balancer.pick(&request, now, &mut rng);
                pick.iter().for_each(|pick| pick.connected(now));
                drop(pick);
                let failed = balancer
                    .pick(&request, now, &mut rng)
                    .map(|pick| pick.failed(now));
                assert!(failed.is_ok(), "{name}");
            }
        };
        let counted = allocations(&mut connections);
        assert_eq!(counted, 0, "{name}: picks allocate or free");
    }
}
