//! Policies that panic: the balancer, its counts and its updater stay usable.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use lb_core::policy::{LeastConn, P2c, RandomTwo, Tracking, WeightedRandom};
use lb_core::{
    Backend, BackendIndex, BalancerConfig, Delta, PickContext, PickRequest, Picker, Policy, Rng,
    Snapshot, SplitMix64, Tier, Tried, Weight,
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

/// Randomness that panics at one draw.
struct FragileRng(SplitMix64, u32);

impl Rng for FragileRng {
    fn next_u64(&mut self) -> u64 {
        self.1 = self.1.wrapping_sub(1);
        assert_ne!(self.1, 0, "no entropy");
        self.0.next_u64()
    }
}

#[test]
fn randomness_that_panics_leaves_the_counts_as_they_were() {
    // Policies whose picks draw.
    let policies: [(&str, Arc<dyn Policy>); 3] = [
        ("random", Arc::new(WeightedRandom::new())),
        ("p2c", Arc::new(P2c::least_conn())),
        ("random_two", Arc::new(RandomTwo::new())),
    ];
    for (name, policy) in policies {
        for call in [1, 2, 100] {
            let bench = Bench::new(Arc::clone(&policy), &weighted(&[1, 1, 1]));
            let mut rng = FragileRng(SplitMix64::new(1), call);
            let (mut picks, mut panics) = (Vec::new(), 0);
            while panics == 0 || picks.len() < 120 {
                let tried = Tried::new();
                let request = PickRequest::new(&tried);
                match caught(|| bench.balancer.pick(&request, at(0), &mut rng)) {
                    Some(pick) => picks.push(pick.unwrap()),
                    None => panics += 1,
                }
                assert!(picks.len() < 1000, "{name} does not draw");
            }
            assert_eq!(panics, 1, "{name} {call}");
            let counted = bench.in_flight().iter().sum::<u32>() as usize;
            assert_eq!(counted, picks.len(), "{name} {call}");
            drop(picks);
            assert_eq!(bench.in_flight(), [0, 0, 0], "{name} {call}");
        }
    }
}

#[test]
fn data_whose_making_panics_is_made_by_the_next_call() {
    for call in [1, 2, 100] {
        let mut bench = Bench::new(Arc::new(LeastConn::new()), &weighted(&[1]));
        let mut panics = 0;
        for number in 1..=call + 2 {
            let pick = bench.pick().unwrap();
            // Without data, each call makes it.
            let data = caught(|| {
                pick.data(|_| {
                    assert!(number >= call, "not yet");
                    Arc::new(number)
                })
            });
            match data {
                None => panics += 1,
                Some(data) => assert_eq!(data.as_deref(), Some(&call)),
            }
        }
        assert_eq!(panics, call - 1);
        assert_eq!(bench.in_flight(), [0]);
    }
}

/// Data whose comparison panics.
#[derive(Debug)]
struct FragileData(Arc<Fuse>);

impl PartialEq for FragileData {
    fn eq(&self, _: &Self) -> bool {
        self.0.burn("eq");
        true
    }
}

#[test]
fn a_comparison_of_data_that_panics_leaves_the_former_membership() {
    for call in [1, 2, 100] {
        let fuse = Fuse::new("eq", call);
        let set = |weight: u16| {
            let data = FragileData(Arc::clone(&fuse));
            let backend = Backend::new(addr(0)).weight(Weight::new(weight));
            Snapshot::from_backends([backend.with_compared_data(data)])
        };
        let mut bench = Bench::new(Arc::new(LeastConn::new()), &set(1));
        let mut panics = 0;
        for second in 1..400 {
            // Equal numbers, so that the data is compared.
            let same = set(1);
            if apply(&mut bench, &same, second).is_none() {
                panics += 1;
                assert_eq!(members(&bench), [addr(0)]);
                assert!(bench.pick().is_ok());
                apply(&mut bench, &same, second).expect("it panics once");
            }
        }
        assert_eq!(panics, 1, "{call}");
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
