//! nginx's order while not every backend takes its turns.
//!
//! nginx computes each turn from the credits (`current_weight`) of the eligible servers, so a retry, an ejected server and a
//! damped weight change all that follows. A compiled order cannot follow that. So the first retry, and the first turn
//! that its backend does not take, turn the tier's counter to live mode: the highest bit of the counter is set, and the
//! credits become those of the place in the compiled order. In this mode a pick reads all backends. After
//! [`UNDISTURBED_TURNS`] turns and two laps in which all took their turns, the compiled order goes on, so that a pick is O(1) again;
//! nginx's may then be another one of equal shares. An update compiles another order and restarts that count, because the counter
//! and the credits survive it and the count does not.
//!
//! To begin and to end walks the lap once, of at most 4096 turns.

use super::order::Order;
use crate::pick::context::PickContext;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::tiers::tier::BackendIndex;

/// Reading so many backends costs no more than passing over turns.
pub(super) const FEW: u32 = 32;

/// Set in the tier's counter in live mode.
pub(super) const LIVE: u64 = 1 << 63;

/// After so many undisturbed turns, and two laps, live mode ends.
const UNDISTURBED_TURNS: u64 = 1000;

/// How often a thread tries to begin live mode, beside others that change the counter.
const ATTEMPTS: u32 = 8;

/// Live mode of an order of at most [`FEW`] backends.
#[derive(Debug)]
pub(super) struct Live {
    len: u32,
    /// The turn, with [`LIVE`], since which all backends have taken their turns. Without that bit it is not known, as after an
    /// update: then the next turn counts as the first.
    undisturbed_since: AtomicU64,
}

impl Live {
    /// For `len` backends in a lap that can be stored; `None` for more, and for a single one.
    pub(super) fn new(len: usize) -> Option<Self> {
        let len = u32::try_from(len).ok()?;
        (2..=FEW).contains(&len).then(|| Self {
            len,
            undisturbed_since: AtomicU64::new(0),
        })
    }

    /// Begins live mode, where it has not begun. `lost` are the turns that this pick has taken and their backends have not.
    /// False if other threads change the counter all the time.
    #[cold]
    pub(super) fn begin(&self, order: &Order, cx: &PickContext<'_>, lost: u64) -> bool {
        for _ in 0..ATTEMPTS {
            let cursor = cx.cursor();
            if cursor & LIVE != 0 {
                return true;
            }
            let at = cursor.saturating_sub(lost);
            if cx.move_cursor(cursor, at | LIVE) {
                if !cx.is_dry_run() {
                    self.undisturbed_since.store(at | LIVE, Relaxed);
                }
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
        let mut is_undisturbed = !cx.is_retry();
        let mut best: Option<(i64, BackendIndex)> = None;
        let mut sum = 0;
        for i in self.indices() {
            if !cx.is_eligible(i) {
                is_undisturbed = false;
                continue;
            }
            is_undisturbed &= cx.is_whole(i);
            let weight = cx.take_weight(i);
            let credit = cx.credit(i, weight);
            sum += weight;
            if best.is_none_or(|(most, _)| credit > most) {
                best = Some((credit, i));
            }
        }
        let (_, chosen) = best?;
        cx.credit(chosen, -sum);
        // A dry run picks once, so that it neither ends live mode nor needs to.
        if !cx.is_dry_run() {
            if !is_undisturbed {
                self.undisturbed_since.store(ticket, Relaxed);
            } else if self.may_end(order, ticket) {
                self.end(order, cx, ticket, chosen);
            }
        }
        Some(chosen)
    }

    /// Whether the undisturbed turn `ticket` is to try to end live mode. True for one thread at a time, and not again for
    /// [`UNDISTURBED_TURNS`] turns, because others may take turns during each attempt.
    pub(super) fn may_end(&self, order: &Order, ticket: u64) -> bool {
        let since = self.undisturbed_since.load(Relaxed);
        let laps = 2 * order.lap();
        let (is_due, since_then) = if since & LIVE == 0 {
            (false, ticket)
        } else if ticket.saturating_sub(since) > UNDISTURBED_TURNS + laps {
            (true, ticket - laps)
        } else {
            return false;
        };
        let replaced = self
            .undisturbed_since
            .compare_exchange(since, since_then, Relaxed, Relaxed);
        is_due && replaced.is_ok()
    }

    /// Ends live mode: the compiled order goes on after that turn of `chosen` whose credits are nearest to the present ones. If
    /// another thread has taken a turn meanwhile, live mode goes on.
    fn end(&self, order: &Order, cx: &PickContext<'_>, ticket: u64, chosen: BackendIndex) {
        let mut present = [0_i64; FEW as usize];
        let mut weights = [0_i64; FEW as usize];
        for (i, (present, weight)) in self.indices().zip(present.iter_mut().zip(&mut weights)) {
            (*present, *weight) = (cx.credit_now(i), cx.weight(i).into());
        }
        let sum: i64 = weights.iter().sum();
        let mut taken = [0_i64; FEW as usize];
        let mut nearest: Option<(u64, u64)> = None;
        for turn in 0..order.lap() {
            let of = order.turn(turn);
            if let Some(taken) = taken.get_mut(of.as_usize()) {
                *taken += 1;
            }
            if of == chosen {
                let credits = weights.iter().zip(taken);
                let credits =
                    credits.map(|(weight, taken)| (turn as i64 + 1) * weight - taken * sum);
                let apart = present.iter().zip(credits);
                let apart = apart.map(|(a, b)| a.abs_diff(b)).sum();
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
