//! Boards, which leases tell when they begin and end.

use super::*;
use crate::load_index::board::Board;
use crate::membership::compiled::Level;
use crate::policy::{Picker, Tracking};
use crate::state::health::Health;
use crate::{BackendIndex, PickContext, Tier};

/// As `least_conn` among many, for a tier of any size.
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
        let board = cx.board()?;
        let found = look_up(cx, board);
        let mut all = (0..self.0).map(BackendIndex::new);
        found.or_else(|| all.find(|&i| cx.is_eligible(i)))
    }
}

fn look_up(cx: &mut PickContext<'_>, board: &Board) -> Option<BackendIndex> {
    let generation = cx.generation();
    board.take_in(generation, cx.now());
    loop {
        let i = BackendIndex::new(board.find(board.least()?.0, 0)?);
        if cx.takes_turn(i) {
            return Some(i);
        }
        cx.put_out(i, generation);
    }
}

/// The present board says that the only backend has so many `leases`.
fn assert_noted(balancer: &Balancer, leases: u64) {
    let compiled = balancer.shared.current();
    let board = compiled.levels[0].board.as_deref().unwrap();
    assert_eq!(board.load(0), leases << 33);
    // Vitals are what only those need who need the total.
    let total = if compiled.needs_vitals() { leases } else { 0 };
    assert_eq!(board.total(), total);
}

#[test]
fn leases_that_begin_and_end_at_once_are_noted() {
    for tracking in [Tracking::Least, Tracking::Total] {
        explore(Some(3), move || {
            let (_updater, balancer) = world(Tracked(tracking), [backend(1)]);
            let held = pick(&balancer).unwrap();
            let ends = run(&balancer, |_| drop(held));
            let taken = pick(&balancer).unwrap();
            ends.join().unwrap();
            assert_noted(&balancer, 1);
            drop(taken);
            assert_noted(&balancer, 0);
        });
    }
}

/// An update that leaves the backend and replaces its board.
fn update(updater: &mut Updater) {
    updater.apply(&snapshot([backend(1), drained()]), NOW);
}

#[test]
fn leases_that_end_beside_an_update_are_noted() {
    for tracking in [Tracking::Least, Tracking::Total] {
        explore(Some(2), move || {
            let (mut updater, balancer) = world(Tracked(tracking), [backend(1)]);
            let held = pick(&balancer).unwrap();
            let ends = run(&balancer, |_| drop(held));
            update(&mut updater);
            ends.join().unwrap();
            assert_noted(&balancer, 0);
        });
    }
}

#[test]
fn leases_that_begin_beside_an_update_are_noted() {
    for tracking in [Tracking::Least, Tracking::Total] {
        explore(Some(2), move || {
            let (mut updater, balancer) = world(Tracked(tracking), [backend(1)]);
            let begins = run(&balancer, |balancer| pick(balancer).unwrap());
            update(&mut updater);
            let begun = begins.join().unwrap();
            assert_noted(&balancer, 1);
            drop(begun);
            assert_noted(&balancer, 0);
        });
    }
}

/// The backend is on no board while its lease ends.
#[test]
fn leases_that_end_while_their_backend_returns_are_noted_by_the_second_look() {
    explore(Some(2), || {
        let (mut updater, balancer) = world(Tracked::least(), [backend(1)]);
        let held = pick(&balancer).unwrap();
        updater.apply(&snapshot([drained()]), NOW);
        let ends = run(&balancer, |_| drop(held));
        updater.apply(&snapshot([backend(1)]), NOW);
        take_in(&balancer, NOW);
        ends.join().unwrap();
        take_in(&balancer, NOW.saturating_add(Duration::from_secs(2)));
        assert_noted(&balancer, 0);
    });
}

#[test]
fn who_recovers_while_being_put_out_is_found() {
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
        assert_noted(&balancer, 0);
    });
}

/// What a pick does with the board that comes at `now`.
fn take_in(balancer: &Balancer, now: Timestamp) {
    let compiled = balancer.shared.current();
    let board = compiled.levels[0].board.as_deref().unwrap();
    board.take_in(balancer.shared.generation(), now);
}

/// What a pick does with the board that finds the backend at `i` out.
fn put_out(balancer: &Balancer, i: u32) {
    let compiled = balancer.shared.current();
    let Level { tier, board, .. } = &compiled.levels[0];
    let board = board.as_deref().unwrap();
    let generation = balancer.shared.generation();
    board.take_in(generation, NOW);
    if !tier.slot(BackendIndex::new(i)).unwrap().is_fit(NOW) {
        board.put_out(i, None, generation);
    }
}

#[test]
fn who_recovers_while_another_is_put_out_is_found() {
    explore(Some(3), || {
        let (_updater, balancer) = world(Tracked::least(), [backend(1), backend(2)]);
        let [recovering, other] = [1, 2].map(|port| backend(port).addr);
        for addr in [recovering, other] {
            balancer.set_health(addr, Health::Unhealthy, NOW);
        }
        let picks = run(&balancer, |balancer| put_out(balancer, 0));
        balancer.set_health(recovering, Health::Healthy, NOW);
        put_out(&balancer, 1);
        picks.join().unwrap();
        put_out(&balancer, 1);
        let compiled = balancer.shared.current();
        let board = compiled.levels[0].board.as_deref().unwrap();
        assert_eq!(board.load(0), 0, "the recovery was lost");
    });
}
