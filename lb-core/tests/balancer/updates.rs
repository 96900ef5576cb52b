//! Updates during picks.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, ThreadId};

use lb_core::policy::{LeastConn, P2c, WeightedRandom, WeightedRoundRobin};
use lb_core::{
    BackendIndex, Balancer, BalancerConfig, Delta, Health, Pick, PickContext, PickRequest, Picker,
    Policy, Rng, Snapshot, SplitMix64, Tier, Tried,
};

use crate::support::{Bench, addr, at, weighted};

/// Picks in another thread while `update` runs, and returns the leases that it holds at the end.
fn amid_picks(bench: &mut Bench, holds: bool, update: impl FnOnce(&mut Bench)) -> Vec<Pick> {
    let (balancer, over) = (bench.balancer.clone(), AtomicBool::new(false));
    thread::scope(|scope| {
        let picking = scope.spawn(|| {
            let (tried, mut rng) = (Tried::new(), SplitMix64::new(1));
            let mut held = Vec::new();
            while !over.load(SeqCst) {
                let pick = balancer.pick(&PickRequest::new(&tried), at(0), &mut rng);
                held.extend(pick.ok().filter(|_| holds));
            }
            held
        });
        update(bench);
        over.store(true, SeqCst);
        picking.join().unwrap()
    })
}

fn with_heavy(n: usize, heavy: usize) -> Snapshot {
    let weights: Vec<u16> = (0..n).map(|i| 1 + u16::from(i == heavy)).collect();
    weighted(&weights)
}

#[test]
fn a_limit_that_comes_later_holds_through_updates() {
    let n = 2000;
    let plain = weighted(&vec![1; n]);
    let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &plain);
    let held: Vec<Pick> = (0..n).map(|_| bench.pick().unwrap()).collect();
    let limited = |heavy: usize| -> Snapshot {
        let snapshot = with_heavy(n, heavy);
        let backends = snapshot.iter().cloned();
        backends.map(|backend| backend.max_conns(1)).collect()
    };
    bench.updater.apply(&limited(0), at(0));
    let more = amid_picks(&mut bench, true, |bench| {
        for heavy in 1..20 {
            bench.updater.apply(&limited(heavy), at(0));
        }
    });
    assert_eq!((more.len(), held.len()), (0, n));
}

#[test]
fn a_backend_that_leaves_and_returns_has_its_connection() {
    let n = 2000;
    let all = weighted(&vec![1; n]);
    let half: Snapshot = all.iter().take(n / 2).cloned().collect();
    let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &all);
    let held: Vec<Pick> = (0..n).map(|_| bench.pick().unwrap()).collect();
    let _ = amid_picks(&mut bench, false, |bench| {
        for _ in 0..10 {
            bench.updater.apply(&half, at(1));
            bench.updater.apply(&all, at(2));
        }
    });
    assert_eq!(bench.in_flight(), vec![1; n]);
    drop(held);
}

/// A lease that ends while load indexes are replaced is recorded in the new one, within a second at the latest.
#[test]
fn the_least_loaded_are_known_after_updates() {
    let n = 40;
    let policies: [Arc<dyn Policy>; 2] = [Arc::new(P2c::least_conn()), Arc::new(LeastConn::new())];
    let mut bench = Bench::new(Arc::new(LeastConn::new()), &weighted(&vec![1; n]));
    for round in 0..300 {
        let _ = amid_picks(&mut bench, false, |bench| {
            bench.updater.apply(&with_heavy(n, round % n), at(0));
            for policy in &policies {
                bench.updater.set_policy(policy.clone());
            }
            bench.updater.apply(&weighted(&vec![1; n]), at(0));
        });
        drop(bench.pick());
        let held: Vec<Pick> = (0..n)
            .map(|_| bench.pick_at(&Tried::new(), at(2)).unwrap())
            .collect();
        assert_eq!(bench.in_flight(), vec![1; n], "round {round}");
        drop(held);
    }
}

/// Draws zeros, and at the second draw a check finds backend 98 healthy, as another thread may do during a pick.
#[derive(Debug)]
struct Interrupted {
    balancer: Balancer,
    draws: u32,
}

impl Rng for Interrupted {
    fn next_u64(&mut self) -> u64 {
        self.draws += 1;
        if self.draws == 2 {
            assert!(self.balancer.set_health(addr(98), Health::Healthy, at(0)));
        }
        0
    }
}

#[test]
fn the_next_pick_sees_a_check_that_came_during_a_pick() {
    let mut bench = Bench::new(Arc::new(LeastConn::new()), &weighted(&[1; 100]));
    let mut held: Vec<Pick> = (0..98)
        .map(|i| bench.pick_only(i, 100, at(0)).unwrap())
        .collect();
    bench.check(98, Health::Unhealthy, at(0));
    bench.check(99, Health::Unhealthy, at(0));
    let balancer = bench.balancer.clone();
    let mut rng = Interrupted { balancer, draws: 0 };
    let tried = Tried::new();
    held.extend(
        bench
            .balancer
            .pick(&PickRequest::new(&tried), at(0), &mut rng),
    );
    assert!(rng.draws >= 2);
    held.extend((0..100).map(|_| bench.pick().unwrap()));
    assert!(bench.in_flight()[98] > 0, "healthy and idle");
}

/// Records which thread frees its pickers.
#[derive(Clone, Debug)]
struct Freed(Sender<ThreadId>);

impl Policy for Freed {
    fn name(&self) -> &'static str {
        "freed"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(FreedPicker(
            WeightedRandom::new().compile(tier),
            self.clone(),
        ))
    }
}

#[derive(Debug)]
struct FreedPicker(Box<dyn Picker>, Freed);

impl Picker for FreedPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        self.0.pick(cx)
    }
}

impl Drop for FreedPicker {
    fn drop(&mut self) {
        // The receiver is dropped before the last picker is freed.
        let _ = self.1.0.send(thread::current().id());
    }
}

#[test]
fn no_pick_frees_a_membership() {
    let (sender, freed) = channel();
    let mut bench = Bench::new(Arc::new(Freed(sender)), &weighted(&[1; 3]));
    for heavy in 0..100 {
        let _ = amid_picks(&mut bench, false, |bench| {
            bench.updater.apply(&with_heavy(3, heavy % 3), at(0));
        });
    }
    bench.updater.apply(&weighted(&[5; 3]), at(0));
    let threads: Vec<ThreadId> = freed.try_iter().collect();
    assert_eq!(threads, vec![thread::current().id(); 101]);
}

/// Records how many backends the tiers have that it compiles.
#[derive(Debug)]
struct Compiled(Sender<u32>);

impl Policy for Compiled {
    fn name(&self) -> &'static str {
        "compiled"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        // The receiver is dropped before the policy.
        let _ = self.0.send(tier.len().get());
        WeightedRandom::new().compile(tier)
    }
}

#[test]
fn a_policy_that_comes_with_a_set_is_compiled_once_for_it() {
    let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &weighted(&[1; 3]));
    let config = BalancerConfig::default().initial_health(Health::Unhealthy);
    for n in [4, 4] {
        let (sender, compiled) = channel();
        let before = bench.balancer.set();
        let (policy, set) = (Arc::new(Compiled(sender)), weighted(&vec![1; n]));
        let delta = bench.updater.apply_all(&set, policy, config.clone(), at(1));
        assert_eq!(delta, Delta::between(before.snapshot(), &set));
        assert_eq!(compiled.try_iter().collect::<Vec<_>>(), [4]);
        let statuses = bench.balancer.set();
        let last = statuses.status(at(1)).last().expect("a backend");
        assert_eq!(last.health, Health::Unhealthy, "by the new settings");
    }
}
