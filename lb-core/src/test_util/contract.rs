//! What every policy promises, property by property.
//!
//! Each function panics with a message that names the policy and what it did. `policy` makes a new instance whenever
//! it is called.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::expectations::{Cost, Expectations, Load, Share};
use super::generator::{Generator, draws};
use super::interleaving::{Event, Runner};
use super::rig::{Rig, at, backend, tried, weighted};
use super::standstill::Standstill;
use crate::backend::AdminState;
use crate::balancer::balancer;
use crate::lease::pick::Pick;
use crate::pick::request::{PickError, PickRequest, Tried};
use crate::policy::{Policy, PolicyKind};
use crate::rng::SplitMix64;
use crate::snapshot::Snapshot;

/// Checks everything, with 100 random interleavings. Some seconds without optimisation.
pub fn check(policy: impl Fn() -> Arc<dyn Policy>, expectations: Expectations) {
    the_only_eligible_backend_is_found(&policy);
    shares_follow_the_weights(&policy, expectations.share);
    shares_stay_in_proportion_while_some_are_out(&policy, expectations.share);
    a_dead_giant_starves_nobody(&policy, expectations.share);
    equal_keys_meet_again(&policy, expectations.share);
    load_is_seen(&policy, expectations.load);
    work_is_bounded(&policy, expectations.cost);
    the_same_inputs_give_the_same_answers(&policy, 0..20);
    interleavings(&policy, 0..100);
    threads_share_without_loss(&policy);
    a_pick_that_stands_still_holds_nobody_up(&policy);
}

/// Of several backends the only one that is eligible is picked, whatever the weights and however often; with none left
/// the pick is refused.
pub fn the_only_eligible_backend_is_found(policy: impl Fn() -> Arc<dyn Policy>) {
    let weights = [1000, 7, 1, 300, u16::MAX];
    let n = weights.len();
    let mut rig = Rig::new(policy(), &weighted(&weights));
    for i in 0..n {
        let others = tried((0..n).filter(|&other| other != i));
        let mut expected = vec![0; n];
        expected[i] = 50;
        assert_eq!(rig.counts(&others, 50), expected, "{}", policy().name());
    }
    let refused = rig.pick(&tried(0..n), None, at(0)).map(drop);
    assert_eq!(refused, Err(PickError::Exhausted), "{}", policy().name());
}

const WEIGHTS: [&[u16]; 6] = [
    &[7],
    &[1, 1, 1, 1],
    &[5, 1, 1],
    &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
    &[100, 1],
    &[0, 3, 1, 0],
];

/// Idle backends get connections in proportion to their weights, for short laps and, unless they go by key, for one too
/// long to be stored.
pub fn shares_follow_the_weights(policy: impl Fn() -> Arc<dyn Policy>, share: Share) {
    let short = WEIGHTS.map(|weights| (weights, 300));
    let long: &[u16] = &[65_535, 40_000, 10_000, 3_001, 1_000];
    // The tables of those that go by key have a size, and need not hold so much weight.
    let long = Some((long, 1)).filter(|_| !matches!(share, Share::ByKey(_)));
    for (weights, laps) in short.into_iter().chain(long) {
        let mut rig = Rig::new(policy(), &weighted(weights));
        assert_proportional(&mut rig, share, &Tried::new(), weights, laps);
    }
}

/// While backends are ejected, drained, full or already tried, the others keep their shares in proportion.
pub fn shares_stay_in_proportion_while_some_are_out(
    policy: impl Fn() -> Arc<dyn Policy>,
    share: Share,
) {
    // By number: 1 is ejected, 3 drained, 4 full, 6 tried; the rest keep 4 : 3 : 1.
    let weights = [4, 9, 3, 5, 2, 1, 6];
    let numbered = weights.into_iter().enumerate();
    let snapshot = numbered.map(|(i, weight)| match i {
        3 => backend(i, weight).with_admin(AdminState::Drain),
        4 => backend(i, weight).with_max_conns(NonZeroU32::new(1)),
        _ => backend(i, weight),
    });
    let mut rig = Rig::new(policy(), &snapshot.collect());
    let _ = rig.pick_only(1).failed(at(0));
    let full = rig.pick_only(4);
    assert_proportional(&mut rig, share, &tried([6]), &[4, 0, 3, 0, 0, 1, 0], 1000);
    drop(full);
}

/// When a backend that has nearly all the weight is out, the others share in proportion.
pub fn a_dead_giant_starves_nobody(policy: impl Fn() -> Arc<dyn Policy>, share: Share) {
    let mut rig = Rig::new(policy(), &weighted(&[u16::MAX, 1, 1]));
    let counts = rig.counts(&tried([0]), 1000);
    assert_eq!(counts[0], 0, "{}: {counts:?}", policy().name());
    let least = match share {
        Share::Exact | Share::OnAverage => 400.0,
        Share::ByKey(tolerance) => 400.0 * (1.0 - tolerance),
        Share::None => return,
    };
    assert!(
        counts[1].min(counts[2]) as f64 > least,
        "{}: {counts:?} for equal weights",
        policy().name()
    );
}

/// A policy of [`Share::ByKey`] sends a key to one backend whatever is drawn and whoever else is out. Checks nothing
/// for the others.
pub fn equal_keys_meet_again(policy: impl Fn() -> Arc<dyn Policy>, share: Share) {
    if !matches!(share, Share::ByKey(_)) {
        return;
    }
    let name = policy().name();
    let mut rig = Rig::new(policy(), &weighted(&[3, 1, 2, 1, 1, 1, 2]));
    let mut other = Rig::new(policy(), &weighted(&[3, 1, 2, 1, 1, 1, 2]));
    for key in 0..500_u32 {
        let key = key.to_string();
        let mut addr = |tried: &Tried| {
            let pick = rig.pick(tried, Some(key.as_bytes()), at(0));
            pick.map(|pick| pick.backend().addr)
        };
        let home = addr(&Tried::new());
        assert_eq!(addr(&Tried::new()), home, "{name}: key {key} has moved");
        let elsewhere = other.pick(&Tried::new(), Some(key.as_bytes()), at(0));
        let elsewhere = elsewhere.map(|pick| pick.backend().addr);
        assert_eq!(elsewhere, home, "{name}: replicas disagree on key {key}");
        let out = tried([key.len(), key.len() + 2]);
        if home.is_ok_and(|home| !out.contains(home)) {
            let found = addr(&out);
            assert_eq!(found, home, "{name}: key {key} left a healthy backend");
        }
    }
}

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

/// Picks among 1 to 10 000 backends ask no more questions than `cost` allows, and a bearable number when a single
/// backend is eligible. (Every other property watches the latter too.)
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
            let max = NonZeroU32::new(1).filter(|_| i != n / 2);
            backend(i, 1).with_max_conns(max)
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

/// The same updates, times, draws and keys give the same backends, run by run.
pub fn the_same_inputs_give_the_same_answers(
    policy: impl Fn() -> Arc<dyn Policy>,
    seeds: Range<u64>,
) {
    for seed in seeds {
        let run = || {
            let mut generator = Generator::new(seed, &policy);
            let mut runner = Runner::new(policy(), draws(seed), format!("seed {seed}"));
            let events = (0..100).map(|_| generator.event());
            let answers = events.map(|event| runner.run(event));
            answers.collect::<Vec<_>>()
        };
        let differs = run()
            .into_iter()
            .zip(run())
            .position(|(one, two)| one != two);
        assert_eq!(
            differs,
            None,
            "{}: with seed {seed} the second run gave another answer at this step",
            policy().name()
        );
    }
}

/// For each seed, 200 random [`Event`]s: see [`interleaving`].
pub fn interleavings(policy: impl Fn() -> Arc<dyn Policy>, seeds: Range<u64>) {
    for seed in seeds {
        let mut generator = Generator::new(seed, &policy);
        let origin = format!("{} with seed {seed}", policy().name());
        let mut runner = Runner::new(policy(), draws(seed), origin);
        for _ in 0..200 {
            runner.run(generator.event());
        }
    }
}

/// Runs `events` on a balancer without backends. Every pick must return an eligible backend (in panic mode, health and
/// ejection do not count) of the first tier that has one in good standing, unless the settings let tiers share, and none
/// only where there is none; every update and every change of settings must leave the state of the backends that stay as
/// it was; leases must be counted right.
pub fn interleaving(policy: Arc<dyn Policy>, events: impl IntoIterator<Item = Event>) {
    let origin = policy.name().to_owned();
    let mut runner = Runner::new(policy, Box::new(SplitMix64::new(0x5eed)), origin);
    for event in events {
        runner.run(event);
    }
}

/// Four threads pick and release at once: `max_conns` holds, and no lease is lost.
pub fn threads_share_without_loss(policy: impl Fn() -> Arc<dyn Policy>) {
    const MAX: u32 = 3;
    let name = policy().name();
    let limited = |i| backend(i, 1).with_max_conns(NonZeroU32::new(MAX));
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
            let request = PickRequest::new(&tried).with_key(&key);
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

/// `allocations` runs what it is given and tells how often that allocated or freed, as the allocator of your test counts
/// it. Picks, reports and releases must not, neither while all backends are eligible nor while some are not.
pub fn picks_allocate_nothing(
    policy: impl Fn() -> Arc<dyn Policy>,
    allocations: impl Fn(&mut dyn FnMut()) -> u64,
) {
    let name = policy().name();
    let (mut updater, balancer) = balancer(policy());
    updater.apply(&weighted(&[5, 1, 3, 1, 1, 2, 40]), at(0));
    let mut local = balancer.local();
    let mut rng = SplitMix64::new(1);
    // A thread's first pick makes what arc-swap keeps for it.
    drop(balancer.pick(&PickRequest::new(&Tried::new()), at(0), &mut rng));
    for tried in [Tried::new(), tried([0, 2, 6])] {
        let mut connections = || {
            for n in 0..50_u64 {
                let (key, now) = (n.to_le_bytes(), at(20 * n));
                let request = PickRequest::new(&tried).with_key(&key);
                for pick in [
                    balancer.pick(&request, now, &mut rng),
                    local.pick(&request, now, &mut rng),
                ] {
                    pick.iter().for_each(|pick| pick.connected(now));
                }
                let failed = local
                    .pick(&request, now, &mut rng)
                    .map(|pick| pick.failed(now));
                assert!(failed.is_ok(), "{name}");
            }
        };
        let counted = allocations(&mut connections);
        assert_eq!(counted, 0, "{name}: picks allocate or free");
    }
}

/// While a thread stands still in the midst of a pick, others pick, release, report and update: it holds no lock.
pub fn a_pick_that_stands_still_holds_nobody_up(policy: impl Fn() -> Arc<dyn Policy>) {
    let (standstill, gate) = Standstill::new(policy());
    let (mut updater, balancer) = balancer(Arc::new(standstill));
    let unlimited = |weight, i| backend(i, weight).with_fail_limit(None);
    let of = |weight| -> Snapshot { (0..3).map(|i| unlimited(weight, i)).collect() };
    updater.apply(&of(7), at(0));
    let next = policy();
    let pick = |seed| {
        let tried = Tried::new();
        let request = PickRequest::new(&tried).with_key(b"key");
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
        assert!(waited.is_ok(), "{}: others were held up", policy().name());
        assert_eq!(others.join().ok(), Some(()));
        assert_eq!(standing.join().ok(), Some(Ok(())), "{}", policy().name());
    });
}

/// Picks for some laps and compares the counts with the weights.
fn assert_proportional(rig: &mut Rig, share: Share, tried: &Tried, weights: &[u16], laps: u64) {
    let lap: u64 = weights.iter().copied().map(u64::from).sum();
    let picks = match share {
        Share::Exact => lap * laps.min(10),
        _ => lap * laps,
    };
    let counts = rig.counts(tried, picks);
    let told = format!("{}: {counts:?} for weights {weights:?}", rig.watched.name());
    for (&count, &weight) in counts.iter().zip(weights) {
        assert!(weight > 0 || count == 0, "{told}");
        let expected = (picks * u64::from(weight)) as f64 / lap as f64;
        let off = (count as f64 - expected).abs();
        match share {
            Share::Exact => assert!(off < 0.5, "{told}"),
            Share::ByKey(tolerance) => {
                assert!(
                    off <= tolerance * expected + 4.0 * expected.sqrt(),
                    "{told}"
                );
            }
            Share::OnAverage | Share::None => {}
        }
    }
    if share == Share::OnAverage {
        // 99.99 % of seeds stay below 35 with up to 9 degrees of freedom.
        let statistic = chi_square(&counts, weights);
        assert!(statistic < 35.0, "{told}: chi-square {statistic}");
    }
}

/// Pearson's statistic of `counts` against shares in proportion to `weights`.
fn chi_square(counts: &[u64], weights: &[u16]) -> f64 {
    let total: u64 = counts.iter().sum();
    let sum: f64 = weights.iter().copied().map(f64::from).sum();
    let weighted = counts.iter().zip(weights).filter(|(_, w)| **w > 0);
    weighted
        .map(|(&count, &weight)| {
            let expected = total as f64 * f64::from(weight) / sum;
            (count as f64 - expected).powi(2) / expected
        })
        .sum()
}
