//! The contract of a policy, checked for every policy of the crate; and broken policies, which the suite must catch.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use lb_core::policy::{
    BalanceFactor, Ketama, Maglev, PolicyKind, Rendezvous, RingHash, Tracking, WeightedRandom,
};
use lb_core::test_util::{Cost, Event, Expectations, ListOrder, Load, Share, contract};
use lb_core::{
    AdminState, Backend, BackendIndex, BalancerConfig, FailLimit, Health, OutlierDetection,
    PickContext, Picker, Policy, Priority, SlowStart, Snapshot, Subset, Tier, Timestamp, Weight,
    ZonePreference,
};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{Bench, addr, backend, small, tried, weighted};

/// The expectations of each policy. A new policy needs a line here.
fn expectations(kind: PolicyKind) -> Expectations {
    use PolicyKind as Kind;
    let expect = Expectations::new;
    match kind {
        // By definition these do not give idle backends shares by weight.
        Kind::First => expect(Share::None),
        Kind::LeastTime => expect(Share::None).load(Load::Avoided),
        Kind::RandomTwo => expect(Share::None).load(Load::Avoided).cost(Cost::Constant),

        Kind::LeastConn => expect(Share::Exact)
            .load(Load::Avoided)
            .cost(Cost::Logarithmic),
        Kind::P2c | Kind::P2cPeakEwma => expect(Share::OnAverage)
            .load(Load::Avoided)
            .cost(Cost::Constant),
        Kind::Random => expect(Share::OnAverage).cost(Cost::Constant),
        Kind::WeightedRoundRobin => expect(Share::Exact).cost(Cost::Constant),

        Kind::Ketama => expect(Share::ByKey(0.4)).cost(Cost::Constant),
        Kind::Maglev => expect(Share::ByKey(0.2)).cost(Cost::Constant),
        Kind::NginxHash => expect(Share::ByKey(0.4))
            .cost(Cost::Constant)
            .list_order(ListOrder::Significant),
        Kind::Rendezvous => expect(Share::ByKey(0.1)),
        Kind::RingHash => expect(Share::ByKey(0.4)).cost(Cost::Constant),
        _ => panic!("this test has no expectations for {kind}"),
    }
}

#[test]
fn every_policy_keeps_the_contract() {
    for kind in PolicyKind::ALL {
        contract::check(|| small(kind), expectations(kind));
    }
}

/// The hashing policies with a bound, by kind.
fn bounded() -> [(PolicyKind, Arc<dyn Policy>); 4] {
    let factor = BalanceFactor::percent(125);
    let ketama = Ketama::new().max_points(1 << 12);
    let maglev = Maglev::try_new(2039).unwrap();
    let ring = RingHash::try_new(512, 1 << 12).unwrap();
    [
        (PolicyKind::Ketama, Arc::new(ketama.balance_factor(factor))),
        (PolicyKind::Maglev, Arc::new(maglev.balance_factor(factor))),
        (
            PolicyKind::Rendezvous,
            Arc::new(Rendezvous::new().balance_factor(factor)),
        ),
        (PolicyKind::RingHash, Arc::new(ring.balance_factor(factor))),
    ]
}

#[test]
fn bounded_loads_keep_the_contract() {
    for (kind, policy) in bounded() {
        contract::check(|| policy.clone(), expectations(kind));
    }
}

/// The suite's tiers have ten backends; least_conn has another picker from 33 on.
#[test]
fn least_conn_is_exact_among_many() {
    let weights: Vec<u16> = (0..60).map(|i| 1 + i % 4).collect();
    let lap: usize = weights.iter().copied().map(usize::from).sum();
    let mut bench = Bench::new(PolicyKind::LeastConn.build(), &weighted(&weights));
    for _ in 0..3 {
        // Idle backends take turns; the load decides while all leases are held.
        let mut idle = vec![0; 60];
        bench.numbers(lap).into_iter().for_each(|i| idle[i] += 1);
        assert_eq!(idle, weights);
        let held: Vec<_> = (0..2 * lap).map(|_| bench.pick().unwrap()).collect();
        let twice: Vec<u32> = weights.iter().map(|w| 2 * u32::from(*w)).collect();
        assert_eq!(bench.in_flight(), twice);
        drop(held);
    }
}

/// A policy from outside the crate that uses the load index: the least loaded backend, or with `total` one that has no more
/// than its part of all connections.
#[derive(Clone, Copy, Debug)]
struct Emptiest {
    total: bool,
}

impl Policy for Emptiest {
    fn name(&self) -> &'static str {
        "emptiest"
    }

    fn tracking(&self, _: &Tier) -> Tracking {
        if self.total {
            Tracking::Total
        } else {
            Tracking::Least
        }
    }

    fn compile(&self, _: &Tier) -> Box<dyn Picker> {
        Box::new(*self)
    }
}

impl Picker for Emptiest {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let least = if self.total {
            let (total, weights) = (cx.total_in_flight(), cx.healthy_weight());
            cx.draw_among(|cx, i| {
                let [load, weight] = [cx.in_flight(i), cx.weight(i).into()].map(u64::from);
                cx.is_eligible(i) && load * weights <= total * weight
            })
        } else {
            cx.least_loaded()
        };
        least.or_else(|| cx.draw_among(PickContext::is_eligible))
    }
}

#[test]
fn a_policy_from_outside_can_use_the_load_index() {
    let expect = Expectations::new(Share::OnAverage).load(Load::Avoided);
    contract::check(
        || Arc::new(Emptiest { total: false }),
        expect.cost(Cost::Logarithmic),
    );
    contract::check(|| Arc::new(Emptiest { total: true }), expect);
}

/// How one backend of a snapshot differs from the default.
#[derive(Clone, Debug)]
enum Change {
    Backup,
    Drain,
    Instance,
    Limit(u32),
    Weight(u16),
    Zone,
}

impl Change {
    fn of(&self, backend: Backend) -> Backend {
        match *self {
            Self::Backup => backend.priority(Priority::BACKUP),
            Self::Drain => backend.admin(AdminState::Drain),
            Self::Instance => backend.instance("another"),
            Self::Limit(n) => backend.max_conns(n),
            Self::Weight(w) => backend.weight(Weight::new(w)),
            Self::Zone => backend.zone("a"),
        }
    }
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let change = prop_oneof![
        Just(Change::Backup),
        Just(Change::Drain),
        Just(Change::Instance),
        Just(Change::Zone),
        (0..4_u32).prop_map(Change::Limit),
        prop_oneof![0..4_u16, Just(5000), Just(u16::MAX)].prop_map(Change::Weight),
    ];
    let limit = FailLimit::new(NonZeroU32::new(2).unwrap(), Duration::from_secs(10));
    let backend = (0..8_usize, change)
        .prop_map(move |(i, change)| change.of(backend(i).fail_limit(Some(limit))));
    vec(backend, 0..8).prop_map(Snapshot::from_backends)
}

fn configs() -> impl Strategy<Value = BalancerConfig> {
    let parts = (any::<[bool; 4]>(), 0..101_u8, 0..12_u32);
    parts.prop_map(|([outliers, slow, spill, zone], panic, size)| {
        let mut config = BalancerConfig::default().panic_threshold(panic);
        if outliers {
            config = config.outlier_detection(
                OutlierDetection::default()
                    .consecutive_failures(1)
                    .max_ejected_percent(60),
            );
        }
        if slow {
            config = config.slow_start(SlowStart::new(Duration::from_secs(30)));
        }
        if spill {
            config = config.overprovisioning(140);
        }
        if zone {
            config = config.zone(ZonePreference::new("a"));
        }
        if (1..8).contains(&size) {
            config = config.subset(Subset::new(1, size));
        }
        config
    })
}

/// The events of the suite's own generator, in a form that proptest can shrink.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let pick =
        (vec(0..8_usize, 0..3), any::<Option<[u8; 2]>>()).prop_map(|(numbers, key)| Event::Pick {
            tried: tried(numbers),
            key: key.map(|key| key.as_slice().into()),
        });
    let event = prop_oneof![
        2 => snapshots().prop_map(Event::Apply),
        2 => (0..20_u64).prop_map(|s| Event::Advance(Duration::from_secs(s))),
        1 => any::<u64>().prop_map(|n| Event::At(Timestamp::from_nanos(n))),
        8 => pick,
        2 => any::<usize>().prop_map(Event::Connected),
        2 => any::<usize>().prop_map(Event::Failed),
        4 => any::<usize>().prop_map(Event::Release),
        1 => configs().prop_map(Event::SetConfig),
        2 => (0..8_usize, any::<bool>()).prop_map(|(i, up)| {
            let health = if up { Health::Healthy } else { Health::Unhealthy };
            Event::SetHealth(addr(i), health)
        }),
        1 => proptest::sample::select(&PolicyKind::ALL[..])
            .prop_map(|kind| Event::SetPolicy(small(kind))),
    ];
    vec(event, 1..80)
}

proptest! {
    #[test]
    fn any_interleaving_keeps_the_contract(
        kind in proptest::sample::select(&PolicyKind::ALL[..]),
        events in events(),
    ) {
        contract::interleaving(small(kind), events);
    }
}

#[test]
fn ten_thousand_backends_of_any_weight_are_all_reached() {
    let snapshot: Snapshot = (0..10_000)
        .map(|i| backend(i).weight(Weight::new(1 + (i % 7) as u16)))
        .collect();
    let lap: usize = (0..10_000).map(|i| 1 + i % 7).sum();
    let mut bench = Bench::new(PolicyKind::WeightedRoundRobin.build(), &snapshot);
    let numbers: BTreeMap<_, _> = (0..10_000).map(|i| (addr(i), i)).collect();
    let mut counts = vec![0; 10_000];
    for _ in 0..lap {
        counts[numbers[&bench.pick().unwrap().backend().addr]] += 1;
    }
    assert!((0..10_000).all(|i| counts[i] == 1 + i % 7));
}

/// One way to break the contract.
#[derive(Clone, Copy, Debug)]
enum Broken {
    /// Keeps a counter for the whole process, so a replay differs.
    CountsByItself,
    DrawsForEver,
    GivesUp,
    IgnoresEligibility,
    Locks,
    ReturnsNoIndex,
    Scans,
    Unfair,
}

impl Policy for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(BrokenPicker(*self, tier.len().get()))
    }
}

#[derive(Debug)]
struct BrokenPicker(Broken, u32);

static TURN: AtomicU32 = AtomicU32::new(0);
#[expect(clippy::disallowed_types, reason = "what must be caught")]
static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());

impl Picker for BrokenPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let eligible = |cx: &PickContext<'_>, i: u32| cx.is_eligible(BackendIndex::new(i));
        let from = match self.0 {
            Broken::CountsByItself => TURN.fetch_add(1, Relaxed) % self.1,
            Broken::DrawsForEver => loop {
                cx.draw(NonZeroU64::MAX);
            },
            Broken::GivesUp => return eligible(cx, 0).then_some(BackendIndex::new(0)),
            Broken::IgnoresEligibility => return Some(BackendIndex::new(self.1 - 1)),
            Broken::ReturnsNoIndex => return Some(BackendIndex::new(self.1)),
            Broken::Scans => {
                let found = (0..self.1).filter(|&i| eligible(cx, i)).max()?;
                return Some(BackendIndex::new(found));
            }
            Broken::Locks | Broken::Unfair => 0,
        };
        let _locked = matches!(self.0, Broken::Locks).then(|| LOCK.lock());
        let mut turns = (from..self.1).chain(0..from);
        turns.find(|&i| eligible(cx, i)).map(BackendIndex::new)
    }
}

fn assert_caught(broken: Broken, expectations: Expectations, message: &str) {
    let policy = || Arc::new(broken) as Arc<dyn Policy>;
    let checked = catch_unwind(AssertUnwindSafe(|| contract::check(policy, expectations)));
    let panic = checked.expect_err("it was not caught");
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
    let text = text.unwrap();
    assert!(text.contains(message), "{broken:?}: {text}");
}

#[test]
fn the_suite_catches_broken_policies() {
    let none = Expectations::new(Share::None);
    let constant = none.cost(Cost::Constant);
    assert_caught(Broken::CountsByItself, none, "another answer");
    assert_caught(Broken::DrawsForEver, none, "draws without end");
    assert_caught(Broken::GivesUp, none, "returned none");
    assert_caught(Broken::IgnoresEligibility, none, "not eligible");
    assert_caught(Broken::Locks, none, "were blocked");
    assert_caught(Broken::ReturnsNoIndex, none, "not eligible");
    assert_caught(Broken::Scans, constant, "are allowed");
    assert_caught(
        Broken::Unfair,
        Expectations::new(Share::OnAverage),
        "chi-square",
    );
    assert_caught(
        Broken::Unfair,
        Expectations::new(Share::Exact),
        "for weights",
    );
    assert_caught(Broken::Unfair, none.load(Load::Avoided), "busy");
}

#[test]
#[should_panic(expected = "has moved")]
fn the_suite_catches_keys_that_move() {
    let random = || Arc::new(WeightedRandom::new()) as Arc<dyn Policy>;
    contract::equal_keys_meet_again(random, Share::ByKey(0.3));
}

/// Hashes keys badly. Each passes where keys are random bytes and lists have one order.
#[derive(Clone, Copy, Debug)]
enum BadHash {
    /// Follows the order of the list.
    ByNumber,
    FirstByte,
    LastByte,
    /// Adds the bytes up.
    Sum,
}

impl BadHash {
    fn hash(self, key: &[u8]) -> u64 {
        let byte = |byte: Option<&u8>| u64::from(byte.copied().unwrap_or(0));
        let all = || {
            let bytes = key.iter().map(|&byte| u64::from(byte));
            bytes.fold(7, |all, byte| mixed(all ^ byte))
        };
        match self {
            Self::ByNumber => all(),
            Self::FirstByte => mixed(byte(key.first())),
            Self::LastByte => mixed(byte(key.last())),
            Self::Sum => mixed(key.iter().map(|&byte| u64::from(byte)).sum()),
        }
    }
}

/// A good mixing of bits: the finalizer of SplitMix64.
fn mixed(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl Policy for BadHash {
    fn name(&self) -> &'static str {
        "bad_hash"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        let units = tier.indices().flat_map(|i| {
            let addr = tier.backend(i).addr;
            (0..tier.weight(i).get()).map(move |unit| match self {
                Self::ByNumber => (mixed(u64::from(i.get()) << 16 | u64::from(unit)), i),
                _ => {
                    let named = addr.to_string();
                    let named = named
                        .bytes()
                        .fold(unit.into(), |all, byte| mixed(all ^ u64::from(byte)));
                    (mixed(named), i)
                }
            })
        });
        Box::new(BadHashPicker(*self, units.collect()))
    }
}

/// The units of weight, each with a number of its own, by rendezvous hashing.
#[derive(Debug)]
struct BadHashPicker(BadHash, Vec<(u64, BackendIndex)>);

impl Picker for BadHashPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let hash = self.0.hash(cx.key().unwrap_or_default());
        let eligible = self.1.iter().filter(|(_, i)| cx.is_eligible(*i));
        let first = eligible.max_by_key(|(unit, _)| mixed(unit ^ hash));
        first.map(|(_, i)| *i)
    }
}

/// What of the suite a policy with a bad hash breaks, in its panic's words.
fn broken_by(hash: BadHash) -> String {
    let policy = || Arc::new(hash) as Arc<dyn Policy>;
    let share = Share::ByKey(0.4);
    contract::equal_keys_meet_again(policy, share);
    let checked = catch_unwind(|| {
        contract::keys_that_are_alike_are_spread(policy, share);
        contract::replicas_agree_in_any_order(policy, share, ListOrder::Ignored);
    });
    *checked.unwrap_err().downcast::<String>().unwrap()
}

#[test]
fn the_suite_catches_hashes_of_a_part_of_the_key() {
    let first = broken_by(BadHash::FirstByte);
    assert!(first.contains("addresses of one IPv4 network"), "{first}");
    let last = broken_by(BadHash::LastByte);
    assert!(last.contains("a common suffix"), "{last}");
    let sum = broken_by(BadHash::Sum);
    assert!(sum.contains("for weights"), "{sum}");
}

#[test]
fn the_suite_catches_replicas_that_depend_on_the_order() {
    let text = broken_by(BadHash::ByNumber);
    assert!(text.contains("different orders disagree"), "{text}");
}
