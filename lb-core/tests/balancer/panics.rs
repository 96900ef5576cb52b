//! Policies that panic: the balancer, its counts and its updater stay usable.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use lb_core::policy::{LeastConn, Tracking};
use lb_core::{
    BackendIndex, BalancerConfig, Delta, PickContext, PickRequest, Picker, Policy, Snapshot, Tier,
    Tried,
};

use crate::support::{Bench, addr, at, weighted};

/// Which method panics, and at which call.
#[derive(Debug)]
struct Fuse {
    method: &'static str,
    calls_left: AtomicU32,
}

impl Fuse {
    fn new(method: &'static str, call: u32) -> Arc<Self> {
        Arc::new(Self {
            method,
            calls_left: AtomicU32::new(call),
        })
    }

    fn burn(&self, method: &'static str) {
        if self.method == method && self.calls_left.fetch_sub(1, Relaxed) == 1 {
            panic!("{method} panics as it is asked to");
        }
    }
}

/// Least connections that panics once.
#[derive(Debug)]
struct Fragile(Arc<Fuse>);

impl Policy for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    fn tracking(&self, tier: &Tier) -> Tracking {
        self.0.burn("tracking");
        LeastConn::new().tracking(tier)
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        self.0.burn("compile");
        let picker = LeastConn::new().compile(tier);
        Box::new(FragilePicker(picker, Arc::clone(&self.0)))
    }
}

#[derive(Debug)]
struct FragilePicker(Box<dyn Picker>, Arc<Fuse>);

impl Picker for FragilePicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        self.1.burn("pick");
        self.0.pick(cx)
    }

    fn admits(&self, cx: &PickContext<'_>, i: BackendIndex) -> bool {
        self.1.burn("admits");
        self.0.admits(cx, i)
    }

    fn digest(&self, tier: &Tier) -> Option<u64> {
        self.1.burn("digest");
        self.0.digest(tier).or(Some(7))
    }
}

fn caught<T>(code: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(code)).ok()
}

fn members(bench: &Bench) -> Vec<SocketAddr> {
    let set = bench.balancer.set();
    set.snapshot().iter().map(|backend| backend.addr).collect()
}

fn apply(bench: &mut Bench, set: &Snapshot, second: u64) -> Option<Delta> {
    caught(|| bench.updater.apply(set, at(second)))
}

#[test]
fn an_update_that_panics_leaves_the_former_membership_and_can_be_repeated() {
    for method in ["compile", "tracking"] {
        for call in [1, 2, 100] {
            let fuse = Fuse::new(method, call);
            let config = BalancerConfig::default();
            let mut bench = Bench::with(Arc::new(Fragile(fuse)), config, &Snapshot::default());
            let mut panicked = 0;
            for n in 1..=120 {
                // The set grows by one backend and shrinks again.
                let set = weighted(&vec![1; n % 7 + 1]);
                let before = members(&bench);
                let held = bench.pick().ok();
                let delta = apply(&mut bench, &set, n as u64).unwrap_or_else(|| {
                    panicked += 1;
                    assert_eq!(members(&bench), before, "{method} {call}");
                    assert_eq!(bench.pick().is_ok(), !before.is_empty());
                    apply(&mut bench, &set, n as u64).expect("it panics once")
                });
                assert_eq!(members(&bench).len(), set.len());
                let added = set.len().saturating_sub(before.len());
                assert_eq!(delta.added.len(), added, "{method} {call}, set {n}");
                assert_eq!(delta.removed.len(), before.len().saturating_sub(set.len()));
                drop(held);
                assert_eq!(bench.in_flight(), vec![0; set.len()]);
            }
            assert_eq!(panicked, 1, "{method} {call}");
        }
    }
}

#[test]
fn a_policy_and_settings_that_panic_are_not_taken() {
    let mut bench = Bench::new(Arc::new(LeastConn::new()), &weighted(&[1, 1]));
    let fragile: Arc<dyn Policy> = Arc::new(Fragile(Fuse::new("compile", 1)));
    assert!(caught(|| bench.updater.set_policy(Arc::clone(&fragile))).is_none());
    assert!(
        bench.balancer.digests().is_empty(),
        "the former policy has none"
    );
    bench.updater.set_policy(fragile);
    assert_eq!(bench.balancer.digests().len(), 1);

    let fragile: Arc<dyn Policy> = Arc::new(Fragile(Fuse::new("compile", 1)));
    let panics = BalancerConfig::default().panic_threshold(100);
    let set = weighted(&[1, 1, 1]);
    let all = caught(|| {
        let policy = Arc::clone(&fragile);
        bench.updater.apply_all(&set, policy, panics.clone(), at(1))
    });
    assert!(all.is_none());
    assert_eq!(members(&bench).len(), 2);
    for i in 0..2 {
        let _ = bench.pick_only(i, 2, at(1)).unwrap().failed(at(1));
    }
    assert!(
        !bench.balancer.is_in_panic(at(1)),
        "the former settings apply"
    );
    bench.updater.apply_all(&set, fragile, panics, at(1));
    assert!(bench.balancer.is_in_panic(at(1)));
    assert_eq!(members(&bench).len(), 3);
}

#[test]
fn a_picker_that_panics_leaves_the_counts_as_they_were() {
    for call in [1, 2, 100] {
        let fuse = Fuse::new("pick", call);
        let set = weighted(&[1, 1, 1]);
        let mut bench = Bench::new(Arc::new(Fragile(fuse)), &set);
        let picks: Vec<_> = (0..120).map(|_| caught(|| bench.pick().unwrap())).collect();
        assert_eq!(picks.iter().filter(|pick| pick.is_none()).count(), 1);
        assert_eq!(bench.in_flight().iter().sum::<u32>(), 119);
        drop(picks);
        assert_eq!(bench.in_flight(), [0, 0, 0]);
    }
}

#[test]
fn explanations_and_digests_can_be_asked_again_after_a_panic() {
    for method in ["pick", "admits", "digest"] {
        let bench = Bench::new(Arc::new(Fragile(Fuse::new(method, 2))), &weighted(&[1, 1]));
        let mut answers = 0;
        for _ in 0..4 {
            let tried = Tried::new();
            let request = PickRequest::new(&tried);
            let explained = caught(|| {
                bench
                    .balancer
                    .explain(&request, at(0), &mut bench.rng.clone())
            });
            let digests = caught(|| bench.balancer.digests());
            answers += usize::from(explained.is_some()) + usize::from(digests.is_some());
            if let Some(Ok(explained)) = explained {
                assert!([addr(0), addr(1)].contains(&explained.chosen.unwrap()));
            }
        }
        // A digest is asked for once.
        let expected = if method == "digest" { 8 } else { 7 };
        assert_eq!(answers, expected, "{method}");
    }
}
