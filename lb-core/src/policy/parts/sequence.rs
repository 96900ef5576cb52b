//! A weighted order that a shared counter walks.
//!
//! Each turn belongs to one backend, by the compiled [`order`]. Among few backends, nginx's order goes on [`live`] while not all
//! of them take their turns.

use std::num::NonZeroU16;

use crate::pick::context::PickContext;
use crate::tiers::tier::BackendIndex;
use live::{LIVE, Live};
use order::{MAX_SMOOTH_LAP, Order};

mod live;
pub(crate) mod order;
mod smooth;
mod spread;
#[cfg(test)]
mod tests;

#[derive(Debug)]
pub(crate) struct Sequence {
    order: Order,
    /// Among few backends: nginx's order while not all of them take their turns.
    live: Option<Live>,
}

impl Sequence {
    /// The order for `weights`, of which there is at least one.
    pub(crate) fn new(weights: impl ExactSizeIterator<Item = NonZeroU16>) -> Self {
        let len = weights.len();
        let order = Order::new(weights);
        let live = match &order {
            Order::Spread(_) => None,
            Order::Rotation { .. } | Order::Stored(_) => Live::new(len),
        };
        Self { order, live }
    }

    /// The backend whose turn it is, passing over backends that do not take their turn. A turn passed over is lost, as if
    /// the backend were not in the order. After a whole lap, or [`MAX_SMOOTH_LAP`] turns of a longer one, one draw by
    /// weight among the eligible backends decides.
    ///
    /// Among few backends a turn that would be passed over is nginx's instead: see [`live`].
    #[inline]
    pub(crate) fn next(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        match &self.live {
            Some(live) if !cx.has_slow_start() => self.next_of_few(live, cx),
            _ => self.next_of_many(cx),
        }
    }

    fn next_of_few(&self, live: &Live, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let mut lost = 0;
        if !cx.is_retry() {
            let ticket = cx.ticket();
            if ticket & LIVE != 0 {
                return live.pick(&self.order, cx, ticket);
            }
            let i = self.order.turn(ticket);
            if cx.is_eligible(i) && cx.is_whole(i) {
                return Some(i);
            }
            lost = 1;
        }
        if live.begin(&self.order, cx, lost) {
            let ticket = cx.ticket();
            live.pick(&self.order, cx, ticket)
        } else {
            self.next_of_many(cx)
        }
    }

    fn next_of_many(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        for _ in 0..self.order.lap().min(MAX_SMOOTH_LAP) {
            let ticket = cx.ticket();
            let i = self.order.turn(ticket);
            if cx.takes_turn_number(i, ticket) {
                return Some(i);
            }
        }
        cx.draw_among(PickContext::is_eligible)
    }

    /// The backend of turn number `ticket`.
    #[inline]
    pub(crate) fn turn(&self, ticket: u64) -> BackendIndex {
        self.order.turn(ticket)
    }

    /// How many turns there are before the order repeats.
    pub(crate) fn lap(&self) -> u64 {
        self.order.lap()
    }
}
