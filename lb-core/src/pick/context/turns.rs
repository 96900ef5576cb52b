//! Turns: the counters of the round robins, and chances to pass a turn.

use std::num::NonZeroU64;

use super::PickContext;
use crate::sync::atomic::Ordering::Relaxed;
use crate::tiers::slot::Slot;
use crate::tiers::tier::BackendIndex;

impl PickContext<'_> {
    /// The next number of the tier's counter, which starts at 0, wraps, and survives every update and change of
    /// policy. Costs one atomic addition.
    #[inline]
    pub fn ticket(&self) -> u64 {
        self.asked();
        match self.environment.dry_run {
            None => self.environment.tier.cursor().fetch_add(1, Relaxed),
            Some(dry_run) => dry_run.ticket(),
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

    /// Adds `change` to nginx's `current_weight` of the backend at `i`, which breaks ties, and returns the sum. 0 for an
    /// index outside the tier.
    pub(crate) fn credit(&self, i: BackendIndex, change: i64) -> i64 {
        self.asked();
        self.slot(i).map_or(0, |slot| {
            let credit = &slot.state().credit;
            if self.environment.dry_run.is_some() {
                return credit.load(Relaxed).wrapping_add(change);
            }
            credit.fetch_add(change, Relaxed).wrapping_add(change)
        })
    }
}
