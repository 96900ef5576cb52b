//! nginx's order while not every backend takes its turns.
//!
//! nginx computes each turn from the credits (`current_weight`) of the eligible servers, so a retry, an ejected server and a
//! damped weight change all that follows. A compiled order cannot follow that. So the first retry, and the first turn
//! that its backend does not take, turn the tier's counter to live mode: the highest bit of the counter is set, and the
//! credits become those of the place in the compiled order. In this mode a pick reads all backends. After
//! [`CALM_TURNS`] turns and two laps in which all took their turns, the compiled order goes on, so that a pick is O(1) again;
//! nginx's may then be another one of equal shares.

use super::order::Order;
use crate::pick::context::PickContext;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::tiers::tier::BackendIndex;

/// Reading so many backends costs no more than passing over turns.
pub(super) const FEW: u32 = 32;

/// Set in the tier's counter in live mode.
pub(super) const LIVE: u64 = 1 << 63;

/// After so many undisturbed turns, and two laps, live mode ends.
const CALM_TURNS: u64 = 1000;

/// How often a thread tries to begin live mode, beside others that change the counter.
const ATTEMPTS: u32 = 8;

/// Live mode of an order of at most [`FEW`] backends.
#[derive(Debug)]
pub(super) struct Live {
    len: u32,
    /// The turn at which a backend last did not take its turn.
    disturbed_at: AtomicU64,
}

impl Live {
    /// For `len` backends in a lap that can be stored; `None` for more, and for a single one.
    pub(super) fn new(len: usize) -> Option<Self> {
        let len = u32::try_from(len).ok()?;
        (2..=FEW).contains(&len).then(|| Self {
            len,
            disturbed_at: AtomicU64::new(0),
        })
    }

    /// Begins live mode, where it has not begun. `lost` are the turns that this pick has taken in vain. False if other threads
    /// change the counter all the time.
    #[cold]
    pub(super) fn begin(&self, order: &Order, cx: &PickContext<'_>, lost: u64) -> bool {
        for _ in 0..ATTEMPTS {
            let cursor = cx.cursor();
            if cursor & LIVE != 0 {
                return true;
            }
            let at = cursor.saturating_sub(lost);
            if cx.move_cursor(cursor, at | LIVE) {
                self.set_credits(order, cx, at % order.lap());
                return true;
            }
        }
        false
    }

    /// Sets the credits to those after `turns` turns of the compiled order.
    fn set_credits(&self, order: &Order, cx: &PickContext<'_>, turns: u64) {
        let mut taken = [0_i64; FEW as usize];
        for turn in 0..turns {
            if let Some(taken) = taken.get_mut(order.turn(turn).as_usize()) {
                *taken += 1;
            }
        }
        let weight = |i| i64::from(cx.weight(i));
        let sum: i64 = self.indices().map(weight).sum();
        for (i, taken) in self.indices().zip(taken) {
            cx.set_credit(i, turns as i64 * weight(i) - taken * sum);
        }
    }

    /// nginx's pick. `ticket` is the number of this turn.
    #[cold]
    pub(super) fn pick(
        &self,
        order: &Order,
        cx: &PickContext<'_>,
        ticket: u64,
    ) -> Option<BackendIndex> {
        let mut is_calm = !cx.is_retry();
        let mut best: Option<(i64, BackendIndex)> = None;
        let mut sum = 0;
        for i in self.indices() {
            if !cx.is_eligible(i) {
                is_calm = false;
                continue;
            }
            is_calm &= cx.is_whole(i);
            let weight = cx.take_weight(i);
            let credit = cx.credit(i, weight);
            sum += weight;
            if best.is_none_or(|(most, _)| credit > most) {
                best = Some((credit, i));
            }
        }
        let (_, chosen) = best?;
        cx.credit(chosen, -sum);
        if !is_calm {
            if !cx.is_dry_run() {
                self.disturbed_at.store(ticket, Relaxed);
            }
            return Some(chosen);
        }
        let calm = ticket.saturating_sub(self.disturbed_at.load(Relaxed));
        if calm > CALM_TURNS + 2 * order.lap() {
            self.end(order, cx, ticket, chosen);
        }
        Some(chosen)
    }

    /// Ends live mode: the compiled order goes on after that turn of `chosen` whose credits are nearest to the present ones. If
    /// another thread has taken a turn meanwhile, a later pick ends it.
    fn end(&self, order: &Order, cx: &PickContext<'_>, ticket: u64, chosen: BackendIndex) {
        let mut credits = [0_i64; FEW as usize];
        let weight = |i| i64::from(cx.weight(i));
        let sum: i64 = self.indices().map(weight).sum();
        let mut nearest: Option<(u64, u64)> = None;
        for turn in 0..order.lap() {
            let turns = order.turn(turn);
            for (i, credit) in self.indices().zip(&mut credits) {
                *credit += weight(i) - if i == turns { sum } else { 0 };
            }
            if turns == chosen {
                let present = self.indices().map(|i| cx.credit(i, 0));
                let apart = present.zip(credits).map(|(a, b)| a.abs_diff(b)).sum();
                if nearest.is_none_or(|(least, _)| apart < least) {
                    nearest = Some((apart, turn));
                }
            }
        }
        let turn = nearest.map_or(0, |(_, turn)| turn);
        cx.move_cursor(ticket.wrapping_add(1), turn + 1);
    }

    fn indices(&self) -> impl Iterator<Item = BackendIndex> + use<> {
        (0..self.len).map(BackendIndex::new)
    }
}
