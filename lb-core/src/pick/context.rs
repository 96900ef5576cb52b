//! What a policy sees while it picks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
#[cfg(feature = "test-util")]
use std::sync::Arc;
use std::time::Duration;

use crate::config::BalancerConfig;
use crate::load_index::board::Board;
use crate::membership::compiled::Level;
use crate::membership::shared::Shared;
use crate::pick::request::PickRequest;
use crate::rng::Rng;
use crate::sync::atomic::Ordering::Relaxed;
#[cfg(feature = "test-util")]
use crate::test_util::Gate;
use crate::tiers::tier::{BackendIndex, Slot, Tier};
use crate::time::Timestamp;

/// A policy's only window on the world while it picks.
pub struct PickContext<'a> {
    world: World<'a>,
    request: &'a PickRequest<'a>,
    rng: &'a mut dyn Rng,
    #[cfg(feature = "test-util")]
    questions: Cell<u64>,
    #[cfg(feature = "test-util")]
    gate: Cell<Option<Arc<Gate>>>,
}

/// What a pick is made from, connection and chance aside.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) level: &'a Level,
    pub(crate) config: &'a BalancerConfig,
    pub(crate) shared: &'a Shared,
    pub(crate) now: Timestamp,
    /// Whether health and ejection are ignored.
    pub(crate) panics: bool,
    /// What somebody who only looks on would have moved.
    pub(crate) onlooker: Option<&'a Onlooker>,
}

/// The counters of somebody who must not move those of the balancer.
#[derive(Debug)]
pub(crate) struct Onlooker {
    ticket: Cell<u64>,
    /// Tickets taken at each backend.
    turns: RefCell<BTreeMap<BackendIndex, u64>>,
    /// What would be left of each backend's damping.
    damped: RefCell<BTreeMap<BackendIndex, Option<u64>>>,
}

impl<'a> World<'a> {
    /// The same where it is known whether health and ejection are ignored.
    pub(crate) const fn panicking(mut self, panics: bool) -> Self {
        self.panics = panics;
        self
    }

    /// The same for somebody who must not change anything.
    pub(crate) fn looked_at(mut self, onlooker: &'a Onlooker) -> Self {
        self.onlooker = Some(onlooker);
        self
    }
}

impl Onlooker {
    pub(crate) fn new(tier: &Tier) -> Self {
        Self {
            ticket: Cell::new(tier.cursor().load(Relaxed)),
            turns: RefCell::default(),
            damped: RefCell::default(),
        }
    }
}

impl<'a> PickContext<'a> {
    #[inline]
    pub(crate) fn new(
        world: World<'a>,
        request: &'a PickRequest<'a>,
        rng: &'a mut dyn Rng,
    ) -> Self {
        Self {
            world,
            request,
            rng,
            #[cfg(feature = "test-util")]
            questions: Cell::default(),
            #[cfg(feature = "test-util")]
            gate: Cell::default(),
        }
    }

    /// How often the policy asked or drew.
    #[cfg(feature = "test-util")]
    pub(crate) const fn questions(&self) -> u64 {
        self.questions.get()
    }

    /// Makes the policy stand still at its next question.
    #[cfg(feature = "test-util")]
    pub(crate) fn stop_at(&self, gate: Arc<Gate>) {
        self.gate.set(Some(gate));
    }

    /// Stands still, if it has been told to.
    #[cfg(feature = "test-util")]
    pub(crate) fn stand_still(&self) {
        if let Some(gate) = self.gate.take() {
            gate.meet();
            gate.meet();
        }
    }

    /// Counts a question, where somebody counts. Every method that a policy may call says so, but those that only pass
    /// on what the pick was asked with.
    fn asked(&self) {
        #[cfg(feature = "test-util")]
        {
            self.questions.set(self.questions.get() + 1);
            self.stand_still();
        }
    }

    pub(crate) const fn world(&self) -> &World<'a> {
        &self.world
    }

    /// The moment of the pick.
    pub const fn now(&self) -> Timestamp {
        self.world.now
    }

    /// The connection's hash key, if it has one; never empty.
    pub const fn key(&self) -> Option<&'a [u8]> {
        self.request.key()
    }

    /// A random number below `bound`.
    #[inline]
    pub fn draw(&mut self, bound: NonZeroU64) -> u64 {
        self.asked();
        self.rng.below(bound)
    }

    /// 64 random bits.
    #[inline]
    pub(crate) fn draw_bits(&mut self) -> u64 {
        self.asked();
        self.rng.next_u64()
    }

    /// The next number of the tier's counter, which starts at 0, wraps, and survives every update and change of
    /// policy. Costs one atomic addition.
    #[inline]
    pub fn ticket(&self) -> u64 {
        self.asked();
        match self.world.onlooker {
            None => self.world.level.tier.cursor().fetch_add(1, Relaxed),
            Some(Onlooker { ticket, .. }) => ticket.replace(ticket.get().wrapping_add(1)),
        }
    }

    /// The next number of a counter that belongs to the backend at `i`, for turns that it shares with others. Starts
    /// at 0, wraps, and survives like the rest of the backend's state; 0 for an index outside the tier.
    pub(crate) fn ticket_of(&self, i: BackendIndex) -> u64 {
        self.asked();
        let slot = self.world.level.tier.slot(i);
        slot.map_or(0, |slot| match self.world.onlooker {
            None => slot.state().turns.fetch_add(1, Relaxed),
            Some(onlooker) => {
                let mut turns = onlooker.turns.borrow_mut();
                let taken = turns.entry(i).or_default();
                *taken += 1;
                let next = slot.state().turns.load(Relaxed);
                next.wrapping_add(*taken - 1)
            }
        })
    }

    /// Whether the backend at `i` may be picked: not full, not ejected or unhealthy (unless the tier is in panic mode),
    /// not tried by this connection. False for an index outside the tier.
    #[inline]
    pub fn is_eligible(&self, i: BackendIndex) -> bool {
        self.asked();
        self.world.level.tier.slot(i).is_some_and(|slot| {
            !slot.is_full()
                && (slot.is_fit(self.world.now) || self.world.panics)
                && (self.request.tried().is_empty() || !self.was_tried(slot))
        })
    }

    /// Whether a turn that falls to the backend at `i` is its own: it is eligible and, if it is in slow start, lucky
    /// enough. Policies that give turns by weight or load ask this; where nobody takes a turn, eligibility decides.
    #[inline]
    pub fn takes_turn(&mut self, i: BackendIndex) -> bool {
        self.is_eligible(i) && (self.world.config.slow_start.is_none() || self.is_warm_enough(i))
    }

    /// The same for turn number `turn` of the tier, in which a backend that has failed must be lucky too (nginx's
    /// `effective_weight`).
    #[inline]
    pub(crate) fn takes_turn_number(&mut self, i: BackendIndex, turn: u64) -> bool {
        let whole = |slot: &Slot| slot.state().damping.is_whole();
        self.takes_turn(i)
            && (self.world.level.tier.slot(i).is_none_or(whole) || self.is_undamped(i, turn))
    }

    #[cold]
    #[inline(never)]
    fn is_warm_enough(&mut self, i: BackendIndex) -> bool {
        let part = self.slow_start_part(i);
        part.is_none_or(|part| (self.draw_bits() >> 32) < part.into())
    }

    /// The part of its turns, of 2^32, that the backend at `i` takes while it starts slowly.
    pub(crate) fn slow_start_part(&self, i: BackendIndex) -> Option<u32> {
        let now = self.world.now;
        let slow_start = self.world.config.slow_start?;
        let since = self.world.level.tier.slot(i)?.state().warm_since(now)?;
        slow_start.part(since, now)
    }

    #[cold]
    #[inline(never)]
    fn is_undamped(&mut self, i: BackendIndex, turn: u64) -> bool {
        let Some(slot) = self.world.level.tier.slot(i) else {
            return true;
        };
        let weight = NonZeroU64::from(slot.nonzero_weight());
        let damping = &slot.state().damping;
        let effective = match self.world.onlooker {
            None => damping.effective(slot.weight(), turn),
            Some(onlooker) => {
                let mut damped = onlooker.damped.borrow_mut();
                damping.look(damped.entry(i).or_default(), slot.weight(), turn)
            }
        };
        self.draw(weight) < effective.into()
    }

    /// The loads of the tier, for policies of [`Tracking::Least`](crate::policy::Tracking::Least).
    pub(crate) fn board(&self) -> Option<&'a Board> {
        self.asked();
        self.world.level.board.as_deref()
    }

    /// The connections in flight of the tier and the weight of its backends in good standing, for policies of
    /// [`Tracking::Total`](crate::policy::Tracking::Total).
    pub(crate) fn totals(&self) -> (u64, u64) {
        self.asked();
        let level = self.world.level;
        let total = level.board.as_deref().map_or(0, Board::total);
        (total, level.vitals.weight())
    }

    /// Grows whenever a backend is ejected, forgiven or found healthy or not.
    pub(crate) fn generation(&self) -> u64 {
        self.asked();
        self.world.shared.generation()
    }

    /// Notes on the board that the backend at `i` is not in good standing, so that it is not found again until there is
    /// news since `generation`.
    #[cold]
    pub(crate) fn put_out(&self, i: BackendIndex, generation: u64) {
        self.asked();
        let Some((slot, board)) = self
            .world
            .level
            .tier
            .slot(i)
            .zip(self.world.level.board.as_deref())
        else {
            return;
        };
        if !self.world.panics && !slot.is_fit(self.world.now) {
            let until = slot.state().ejected_until(self.world.now);
            board.put_out(i.get(), until, generation);
        }
    }

    /// What ties are broken by: nginx's `current_weight` of the backend at `i`, changed by `change`. 0 for an index
    /// outside the tier.
    pub(crate) fn credit(&self, i: BackendIndex, change: i64) -> i64 {
        self.asked();
        let slot = self.world.level.tier.slot(i);
        slot.map_or(0, |slot| {
            let credit = &slot.state().credit;
            if self.world.onlooker.is_some() {
                return credit.load(Relaxed).wrapping_add(change);
            }
            credit.fetch_add(change, Relaxed).wrapping_add(change)
        })
    }

    #[cold]
    #[inline(never)]
    fn was_tried(&self, slot: &Slot) -> bool {
        self.request.tried().contains(slot.state().addr())
    }

    /// The weight of the backend at `i`; 0 for an index outside the tier.
    #[inline]
    pub fn weight(&self, i: BackendIndex) -> u16 {
        self.asked();
        self.world.level.tier.slot(i).map_or(0, Slot::weight)
    }

    /// Connections that the backend at `i` holds; 0 for an index outside the tier.
    #[inline]
    pub fn in_flight(&self, i: BackendIndex) -> u32 {
        self.asked();
        self.world.level.tier.slot(i).map_or(0, Slot::in_flight)
    }

    /// Both at once.
    #[inline]
    pub(crate) fn load(&self, i: BackendIndex) -> (u64, u64) {
        self.asked();
        let both = |slot: &Slot| (slot.in_flight().into(), slot.weight().into());
        self.world.level.tier.slot(i).map_or((0, 0), both)
    }

    /// The peak-sensitive average of the times that connecting to the backend at `i` took, decayed with a time
    /// constant of 10 s since the last sample. `None` without a sample, and for an index outside the tier.
    #[inline]
    pub fn connect_time(&self, i: BackendIndex) -> Option<Duration> {
        self.asked();
        let slot = self.world.level.tier.slot(i)?;
        slot.state().connect_time.get_at(self.world.now)
    }

    /// The milliseconds, at most 5020, that connecting to the backend at `i` is expected to take, as nginx's
    /// `least_time` reckons; 0 for an index outside the tier. Costs a division if the backend rests.
    pub(crate) fn expected_connect_millis(&self, i: BackendIndex) -> u64 {
        self.asked();
        let expected = |slot: &Slot| slot.state().expected_connect_millis(self.world.now);
        self.world.level.tier.slot(i).map_or(0, expected)
    }

    /// Notes that the backend at `i` is picked, which ends its rest, as `least_time` reckons.
    pub(crate) fn end_rest(&self, i: BackendIndex) {
        self.asked();
        let slot = self.world.level.tier.slot(i);
        if let (Some(slot), None) = (slot, self.world.onlooker) {
            slot.state().end_rest(self.world.now);
        }
    }

    /// One draw by weight among exactly the backends that `accept` takes, in two passes over the tier. O(n): a
    /// policy's last resort, fair whatever else is refused.
    pub fn draw_among(
        &mut self,
        accept: impl Fn(&Self, BackendIndex) -> bool,
    ) -> Option<BackendIndex> {
        let tier = &self.world.level.tier;
        let weight = |i| u64::from(tier.weight(i).get());
        let accepted = tier.indices().filter(|&i| accept(self, i));
        let mut left = self.draw(NonZeroU64::new(accepted.map(weight).sum())?);
        let mut last = None;
        for i in tier.indices().filter(|&i| accept(self, i)) {
            last = Some(i);
            match left.checked_sub(weight(i)) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        // Where the passes differ because another thread picked meanwhile, the last acceptable one will do.
        last
    }
}

impl fmt::Debug for PickContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickContext")
            .field("request", &self.request)
            .field("now", &self.world.now)
            .finish_non_exhaustive()
    }
}
