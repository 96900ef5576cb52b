//! Turns: the counters of the round robins, and chances to pass a turn.

use std::num::NonZeroU64;

use super::PickContext;
use crate::sync::atomic::Ordering::Relaxed;
use crate::tiers::slot::Slot;
use crate::tiers::tier::BackendIndex;

impl PickContext<'_> {
    /// The next number of the tier's counter, which starts at 0, wraps, and survives every update and change of
    /// policy. Costs one atomic addition.
    ///
    /// Numbers follow each other but for two jumps of a [weighted round robin](crate::policy::WeightedRoundRobin) among at most
    /// 32 backends, which hashing policies also use for connections without a key: it adds 2^63 while backends do not take
    /// their turns, and later goes on below its number of turns. Other policies get such numbers after a change of policy.
    #[inline]
    pub fn ticket(&self) -> u64 {
        self.asked();
        match self.environment.dry_run {
            None => self.environment.tier.cursor().fetch_add(1, Relaxed),
            Some(dry_run) => dry_run.ticket(),
        }
    }

    /// The tier's counter, without taking a number.
    pub(crate) fn cursor(&self) -> u64 {
        self.asked();
        match self.environment.dry_run {
            None => self.environment.tier.cursor().load(Relaxed),
            Some(dry_run) => dry_run.cursor(),
        }
    }

    /// Sets the tier's counter to `new` if it is `current`. False if another thread has changed it.
    pub(crate) fn move_cursor(&self, current: u64, new: u64) -> bool {
        self.asked();
        match self.environment.dry_run {
            None => {
                let cursor = self.environment.tier.cursor();
                let moved = cursor.compare_exchange(current, new, Relaxed, Relaxed);
                moved.is_ok()
            }
            Some(dry_run) => dry_run.move_cursor(current, new),
        }
    }

    /// The next number of a counter that belongs to the backend at `i`, for turns that it shares with others. Starts
    /// at 0, wraps, and survives like the rest of the backend's state; 0 for an index outside the tier.
    pub(crate) fn ticket_of(&self, i: BackendIndex) -> u64 {
        self.asked();
        self.slot(i).map_or(0, |slot| {
            let turns = &slot.state().turns;
            match self.environment.dry_run {
                None => turns.fetch_add(1, Relaxed),
                Some(dry_run) => dry_run.ticket_of(i, turns),
            }
        })
    }

    /// Whether the backend at `i` takes a turn: it is eligible and, in slow start, a draw lets it. Policies that give
    /// turns by weight or load ask this. Where no backend takes a turn, [`is_eligible`](Self::is_eligible) decides.
    #[inline]
    pub fn takes_turn(&mut self, i: BackendIndex) -> bool {
        self.is_eligible(i)
            && (self.environment.config.slow_start.is_none() || self.is_warm_enough(i))
    }

    /// The same for turn number `turn` of the tier. A backend that has failed takes it only with the chance that nginx's
    /// `effective_weight` gives it.
    #[inline]
    pub(crate) fn takes_turn_number(&mut self, i: BackendIndex, turn: u64) -> bool {
        let is_whole = |slot: &Slot| slot.state().damping.is_whole();
        self.takes_turn(i) && (self.slot(i).is_none_or(is_whole) || self.is_undamped(i, turn))
    }

    #[cold]
    #[inline(never)]
    fn is_warm_enough(&mut self, i: BackendIndex) -> bool {
        let part = self.slow_start_part(i);
        part.is_none_or(|part| (self.draw_bits() >> 32) < part.into())
    }

    /// The part of its turns, in 2^32ths, that the backend at `i` takes in slow start.
    pub(crate) fn slow_start_part(&self, i: BackendIndex) -> Option<u32> {
        let now = self.environment.now;
        let slow_start = self.environment.config.slow_start?;
        let since = self.slot(i)?.state().warm_since(now)?;
        slow_start.part(since, now)
    }

    #[cold]
    #[inline(never)]
    fn is_undamped(&mut self, i: BackendIndex, turn: u64) -> bool {
        let Some(slot) = self.slot(i) else {
            return true;
        };
        let damping = &slot.state().damping;
        let effective = match self.environment.dry_run {
            None => damping.effective(slot.weight(), turn),
            Some(dry_run) => dry_run.effective_weight(i, slot, damping, turn),
        };
        self.draw(NonZeroU64::from(slot.nonzero_weight())) < effective.into()
    }

    /// The effective weight of the backend at `i` for a policy that compares those of all. One that a failure has damped grows
    /// by one with every call. 0 for an index outside the tier.
    pub(crate) fn take_weight(&self, i: BackendIndex) -> i64 {
        self.asked();
        let weight = |slot: &Slot| {
            let (weight, damping) = (slot.weight(), &slot.state().damping);
            match self.environment.dry_run {
                _ if damping.is_whole() => weight,
                None => damping.take(weight),
                Some(_) => damping.peek(weight),
            }
        };
        self.slot(i).map_or(0, weight).into()
    }

    /// Adds `change` to nginx's `current_weight` of the backend at `i`, which breaks ties, and returns the sum. 0 for an
    /// index outside the tier.
    pub(crate) fn credit(&self, i: BackendIndex, change: i64) -> i64 {
        self.asked();
        self.slot(i).map_or(0, |slot| {
            let credit = &slot.state().credit;
            if let Some(dry_run) = self.environment.dry_run {
                let before = dry_run.credit(i).unwrap_or_else(|| credit.load(Relaxed));
                let sum = before.wrapping_add(change);
                dry_run.set_credit(i, sum);
                return sum;
            }
            credit.fetch_add(change, Relaxed).wrapping_add(change)
        })
    }

    /// nginx's `current_weight` of the backend at `i`. 0 for an index outside the tier.
    pub(crate) fn credit_now(&self, i: BackendIndex) -> i64 {
        self.asked();
        let of_dry_run = self
            .environment
            .dry_run
            .and_then(|dry_run| dry_run.credit(i));
        of_dry_run.unwrap_or_else(|| {
            let stored = |slot: &Slot| slot.state().credit.load(Relaxed);
            self.slot(i).map_or(0, stored)
        })
    }

    /// Replaces nginx's `current_weight` of the backend at `i`.
    pub(crate) fn set_credit(&self, i: BackendIndex, credit: i64) {
        self.asked();
        match (self.environment.dry_run, self.slot(i)) {
            (Some(dry_run), _) => dry_run.set_credit(i, credit),
            (None, Some(slot)) => slot.state().credit.store(credit, Relaxed),
            (None, None) => {}
        }
    }

    /// Whether no failure has damped the backend at `i`.
    pub(crate) fn is_whole(&self, i: BackendIndex) -> bool {
        self.slot(i)
            .is_none_or(|slot| slot.state().damping.is_whole())
    }

    /// Whether the connection has failed on a backend before.
    #[inline]
    pub(crate) fn is_retry(&self) -> bool {
        !self.request.tried.is_empty()
    }

    /// Whether backends start slowly.
    pub(crate) const fn has_slow_start(&self) -> bool {
        self.environment.config.slow_start.is_some()
    }

    /// Whether this pick changes nothing.
    pub(crate) const fn is_dry_run(&self) -> bool {
        self.environment.dry_run.is_some()
    }
}
