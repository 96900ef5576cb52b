use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;
use crate::policy::{Picker, Policy};
use crate::tiers::tier::Tier;
use crate::{
    Backend, Balancer, PickRequest, Snapshot, SplitMix64, Timestamp, Tried, Weight, balancer,
};

fn sequence(weights: &[u16]) -> Sequence {
    let weights: Vec<_> = weights.iter().copied().map(NonZeroU16::new).collect();
    Sequence::new(weights.into_iter().map(Option::unwrap))
}

fn turns(sequence: &Sequence, tickets: std::ops::Range<u64>) -> Vec<usize> {
    tickets.map(|t| sequence.turn(t).as_usize()).collect()
}

#[test]
#[cfg_attr(
    miri,
    ignore = "arithmetic alone: Miri is slow and finds nothing there"
)]
fn equal_weights_store_nothing() {
    assert!(matches!(
        sequence(&[9; 20_000]).order,
        Order::Rotation { len: 20_000 }
    ));
    assert_eq!(turns(&sequence(&[7, 7, 7]), 0..5), [0, 1, 2, 0, 1]);
}

#[test]
fn common_divisors_shorten_the_lap() {
    let short = sequence(&[50_000, 10_000, 10_000]);
    assert!(matches!(&short.order, Order::Stored(turns) if turns.len() == 7));
    assert_eq!(turns(&short, 0..7), [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
#[cfg_attr(
    miri,
    ignore = "arithmetic alone: Miri is slow and finds nothing there"
)]
fn a_long_stored_lap_gives_every_backend_its_turns_at_even_distances() {
    let weights: Vec<u16> = (0..3000).map(|i| 1 + i % 3).collect();
    let stored = sequence(&weights);
    assert!(matches!(&stored.order, Order::Stored(turns) if turns.len() == 6000));
    let mut seen = vec![Vec::new(); weights.len()];
    for ticket in 0..6000 {
        seen[stored.turn(ticket).as_usize()].push(ticket);
    }
    for (seen, &weight) in seen.iter().zip(&weights) {
        assert_eq!(seen.len(), usize::from(weight));
        let ideal = 6000 / u64::from(weight);
        let again = seen[0] + 6000;
        for (&one, &next) in seen.iter().zip(seen[1..].iter().chain([&again])) {
            assert!((next - one).abs_diff(ideal) <= 3, "{seen:?}");
        }
    }
}

#[test]
#[cfg_attr(
    miri,
    ignore = "arithmetic alone: Miri is slow and finds nothing there"
)]
fn one_heavy_backend_among_many_does_not_bunch() {
    let mut weights = vec![1; 10_000];
    weights[7] = 20_000;
    let stored = sequence(&weights);
    assert!(matches!(&stored.order, Order::Stored(_)));
    for window in turns(&stored, 0..29_999).windows(30) {
        let heavy = window.iter().filter(|&&i| i == 7).count();
        assert!((19..=21).contains(&heavy), "{heavy} of 30");
    }
}

#[test]
#[cfg_attr(
    miri,
    ignore = "arithmetic alone: Miri is slow and finds nothing there"
)]
fn many_different_weights_are_not_stored() {
    let mut weights = vec![1; 50_000];
    assert_eq!(sequence(&weights).lap(), 50_000);
    for (weight, other) in weights.iter_mut().zip(2..102) {
        *weight = other;
    }
    assert!(matches!(sequence(&weights).order, Order::Spread(_)));
    let fewer = &weights[90..];
    assert!(matches!(sequence(fewer).order, Order::Stored(_)));
}

#[test]
#[cfg_attr(
    miri,
    ignore = "arithmetic alone: Miri is slow and finds nothing there"
)]
fn a_spread_lap_gives_every_backend_its_exact_share() {
    let weights = [65_535, 1, 2, 30_000, 17];
    let spread = sequence(&weights);
    assert!(matches!(spread.order, Order::Spread(_)));
    let lap: u64 = weights.iter().map(|&w| u64::from(w)).sum();
    let mut counts = [0_u16; 5];
    // From anywhere in the order, and over the end of the counter's range.
    for ticket in (u64::MAX - u64::MAX % lap - lap / 2..).take(lap as usize / 2) {
        counts[spread.turn(ticket).as_usize()] += 1;
    }
    for ticket in 0..lap - lap / 2 {
        counts[spread.turn(ticket).as_usize()] += 1;
    }
    assert_eq!(counts, weights);
}

#[test]
#[cfg_attr(
    miri,
    ignore = "arithmetic alone: Miri is slow and finds nothing there"
)]
fn a_spread_order_does_not_bunch() {
    // The first backend has a third of all weight: among 12 turns it has 3 to 5.
    let spread = sequence(&[20_000, 13_001, 27_000]);
    let turns = turns(&spread, 0..60_001);
    for window in turns.windows(12) {
        let first = window.iter().filter(|&&i| i == 0).count();
        assert!((3..=5).contains(&first), "{first} of 12");
    }
}

#[test]
#[cfg_attr(
    miri,
    ignore = "arithmetic alone: Miri is slow and finds nothing there"
)]
fn a_light_backend_has_its_turns_at_even_distances_too() {
    for (heavy, light) in [
        (8277, 34),
        (60_001, 7),
        (5003, 100),
        (65_535, 1),
        (30_000, 3),
    ] {
        let spread = sequence(&[heavy, light]);
        let lap = spread.lap();
        assert!(matches!(spread.order, Order::Spread(_)));
        let of_light = (0..2 * lap).filter(|&ticket| spread.turn(ticket).get() == 1);
        let seen: Vec<u64> = of_light.collect();
        let widest = seen.windows(2).map(|pair| pair[1] - pair[0]).max();
        let ideal = lap / u64::from(light);
        assert!(widest.unwrap() <= 4 * ideal, "{heavy}, {light}: {widest:?}");
    }
}

#[test]
#[cfg_attr(
    miri,
    ignore = "arithmetic alone: Miri is slow and finds nothing there"
)]
fn a_hundred_thousand_heavy_backends_do_not_overflow() {
    let mut weights = vec![u16::MAX; 100_000];
    weights[0] = u16::MAX - 1;
    let spread = sequence(&weights);
    for ticket in [0, 1, u64::MAX / 2, u64::MAX] {
        assert!(spread.turn(ticket).as_usize() < weights.len());
    }
}

/// A round robin whose tier counter after the last pick can be read.
#[derive(Clone, Debug)]
struct WatchedTurns(Arc<AtomicU64>);

#[derive(Debug)]
struct WatchedTurnsPicker(Sequence, WatchedTurns);

impl Policy for WatchedTurns {
    fn name(&self) -> &'static str {
        "watched"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(WatchedTurnsPicker(
            Sequence::new(tier.weights()),
            self.clone(),
        ))
    }
}

impl Picker for WatchedTurnsPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let picked = self.0.next(cx);
        self.1.0.store(cx.cursor(), Relaxed);
        picked
    }
}

impl WatchedTurns {
    fn is_live(&self) -> bool {
        self.0.load(Relaxed) & LIVE != 0
    }
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn snapshot(weights: &[u16]) -> Snapshot {
    let weighted = |(port, &w)| Backend::new(addr(port)).weight(Weight::new(w));
    (0..).zip(weights).map(weighted).collect()
}

/// A pick of a connection that has failed on the backend of port 0, or on none.
fn pick(balancer: &Balancer, is_retry: bool) {
    let mut tried = Tried::new();
    if is_retry {
        tried.insert(addr(0));
    }
    let (now, mut rng) = (Timestamp::from_nanos(1), SplitMix64::new(1));
    drop(
        balancer
            .pick(&PickRequest::new(&tried), now, &mut rng)
            .unwrap(),
    );
}

#[test]
#[cfg_attr(
    miri,
    ignore = "arithmetic alone: Miri is slow and finds nothing there"
)]
fn live_mode_lasts_a_thousand_turns_and_two_laps_after_a_retry_or_an_update() {
    let watched = WatchedTurns(Arc::new(AtomicU64::new(0)));
    let (mut updater, balancer) = balancer(Arc::new(watched.clone()));
    let now = Timestamp::from_nanos(1);
    updater.apply(&snapshot(&[5, 1, 1]), now);
    let turns_until_the_end = || {
        let calm = |_: &u32| {
            pick(&balancer, false);
            watched.is_live()
        };
        1 + (0..5000).take_while(calm).count()
    };
    let documented = |lap: usize| 1000 + 2 * lap;
    pick(&balancer, false);
    assert!(!watched.is_live());
    for _ in 0..2 {
        pick(&balancer, true);
        assert!(watched.is_live());
        assert_eq!(turns_until_the_end(), documented(7) + 1, "after a retry");
    }
    pick(&balancer, true);
    for weights in [[4, 1, 1], [5, 1, 1]] {
        for _ in 0..600 {
            pick(&balancer, false);
        }
        updater.apply(&snapshot(&weights), now);
        pick(&balancer, false);
        assert!(watched.is_live(), "the update ended it");
    }
    assert_eq!(turns_until_the_end(), documented(7) + 1, "after an update");
}

#[test]
fn an_attempt_to_end_live_mode_is_made_once_in_a_thousand_turns() {
    let sequence = sequence(&[5, 1, 1]);
    let live = sequence.live.as_ref().unwrap();
    let due = |&ticket: &u64| live.may_end(&sequence.order, LIVE + ticket);
    let attempts: Vec<u64> = (7..5000).filter(due).collect();
    assert_eq!(attempts, [1022, 2023, 3024, 4025]);
}
