//! Load indexes, which leases update when they begin and when they end.

use super::*;
use crate::backend::Health;
use crate::policy::{Picker, Tracking};
use crate::state::index_position::TierIndex;
use crate::{BackendIndex, PickContext, Tier};

/// Picks as `least_conn` does among many backends, in a tier of any size.
#[derive(Debug)]
pub(super) struct Tracked(Tracking);

impl Tracked {
    pub(super) fn least() -> Self {
        Self(Tracking::Least)
    }
}

impl Policy for Tracked {
    fn name(&self) -> &'static str {
        "tracked"
    }

    fn tracking(&self, _: &Tier) -> Tracking {
        self.0
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(Least(tier.len().get()))
    }
}

#[derive(Debug)]
struct Least(u32);

impl Picker for Least {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let index = cx.load_index()?;
        let found = look_up(cx, index);
        let mut all = (0..self.0).map(BackendIndex::new);
        found.or_else(|| all.find(|&i| cx.is_eligible(i)))
    }
}

fn look_up(cx: &mut PickContext<'_>, index: &TierIndex) -> Option<BackendIndex> {
    let generation = cx.generation();
    index.restore(generation, cx.now());
    loop {
        let i = BackendIndex::new(index.find(index.least()?.0, 0)?);
        if cx.takes_turn(i) {
            return Some(i);
        }
        cx.exclude(i, generation);
    }
}

/// Asserts that the current load index has `leases` of the only backend.
fn assert_recorded(balancer: &Balancer, leases: u64) {
    let membership = balancer.published.current();
    let index = membership.tiers()[0].tier.load_index().unwrap();
    assert_eq!(index.load(0), leases << 33);
    // Only an index that counts the total needs tier health.
    let total = if membership.needs_health() { leases } else { 0 };
    assert_eq!(index.total(), total);
}

#[test]
fn leases_that_begin_and_end_at_once_are_recorded() {
    for tracking in [Tracking::Least, Tracking::Total] {
        explore(Some(3), move || {
            let (_updater, balancer) = world(Tracked(tracking), [backend(1)]);
            let held = pick(&balancer).unwrap();
            let ends = run(&balancer, |_| drop(held));
            let taken = pick(&balancer).unwrap();
            ends.join().unwrap();
            assert_recorded(&balancer, 1);
            drop(taken);
            assert_recorded(&balancer, 0);
        });
    }
}

/// An update that keeps the backend and replaces its load index.
fn update(updater: &mut Updater) {
    updater.apply(&snapshot([backend(1), drained()]), NOW);
}

#[test]
fn leases_that_end_beside_an_update_are_recorded() {
    for tracking in [Tracking::Least, Tracking::Total] {
        explore(Some(2), move || {
            let (mut updater, balancer) = world(Tracked(tracking), [backend(1)]);
            let held = pick(&balancer).unwrap();
            let ends = run(&balancer, |_| drop(held));
            update(&mut updater);
            ends.join().unwrap();
            assert_recorded(&balancer, 0);
        });
    }
}

#[test]
fn leases_that_begin_beside_an_update_are_recorded() {
    for tracking in [Tracking::Least, Tracking::Total] {
        explore(Some(2), move || {
            let (mut updater, balancer) = world(Tracked(tracking), [backend(1)]);
            let begins = run(&balancer, |balancer| pick(balancer).unwrap());
            update(&mut updater);
            let begun = begins.join().unwrap();
            assert_recorded(&balancer, 1);
            drop(begun);
            assert_recorded(&balancer, 0);
        });
    }
}

/// The backend is in no load index while its lease ends.
#[test]
fn the_second_look_records_leases_that_end_while_their_backend_returns() {
    explore(Some(2), || {
        let (mut updater, balancer) = world(Tracked::least(), [backend(1)]);
        let held = pick(&balancer).unwrap();
        updater.apply(&snapshot([drained()]), NOW);
        let ends = run(&balancer, |_| drop(held));
        updater.apply(&snapshot([backend(1)]), NOW);
        restore(&balancer, NOW);
        ends.join().unwrap();
        restore(&balancer, NOW.saturating_add(Duration::from_secs(2)));
        assert_recorded(&balancer, 0);
    });
}

#[test]
fn a_backend_that_recovers_while_it_is_excluded_is_found() {
    explore(None, || {
        let (_updater, balancer) = world(Tracked::least(), [backend(1)]);
        let addr = backend(1).addr;
        assert!(balancer.set_health(addr, Health::Unhealthy, NOW));
        let recovers = run(&balancer, move |balancer| {
            balancer.set_health(addr, Health::Healthy, NOW)
        });
        drop(pick(&balancer));
        assert!(recovers.join().unwrap());
        drop(pick(&balancer));
        assert_recorded(&balancer, 0);
    });
}

/// Restores excluded backends as a pick at `now` does.
fn restore(balancer: &Balancer, now: Timestamp) {
    let membership = balancer.published.current();
    let index = membership.tiers()[0].tier.load_index().unwrap();
    index.restore(balancer.published.generation().get(), now);
}

/// Excludes the backend at `i` as a pick does that finds it unhealthy.
fn exclude(balancer: &Balancer, i: u32) {
    let membership = balancer.published.current();
    let tier = &membership.tiers()[0].tier;
    let index = tier.load_index().unwrap();
    let generation = balancer.published.generation().get();
    index.restore(generation, NOW);
    if !tier.slot(BackendIndex::new(i)).unwrap().is_healthy(NOW) {
        index.exclude(i, None, generation);
    }
}

#[test]
fn a_backend_that_recovers_while_another_is_excluded_is_found() {
    explore(Some(3), || {
        let (_updater, balancer) = world(Tracked::least(), [backend(1), backend(2)]);
        let [recovering, other] = [1, 2].map(|port| backend(port).addr);
        for addr in [recovering, other] {
            balancer.set_health(addr, Health::Unhealthy, NOW);
        }
        let picks = run(&balancer, |balancer| exclude(balancer, 0));
        balancer.set_health(recovering, Health::Healthy, NOW);
        exclude(&balancer, 1);
        picks.join().unwrap();
        exclude(&balancer, 1);
        let membership = balancer.published.current();
        let index = membership.tiers()[0].tier.load_index().unwrap();
        assert_eq!(index.load(0), 0, "the recovery was lost");
    });
}
