//! Picks that change nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::state::damping::Damping;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::tiers::slot::Slot;
use crate::tiers::tier::{BackendIndex, Tier};

/// What a pick would have changed, kept apart from the balancer: for [`Balancer::explain`](crate::Balancer::explain).
#[derive(Debug)]
pub(crate) struct DryRun {
    ticket: Cell<u64>,
    credits: RefCell<BTreeMap<BackendIndex, i64>>,
    /// Tickets taken at each backend.
    turns: RefCell<BTreeMap<BackendIndex, u64>>,
    /// What would be left of each backend's damping.
    damped: RefCell<BTreeMap<BackendIndex, Option<u64>>>,
}

impl DryRun {
    pub(crate) fn new(tier: &Tier) -> Self {
        Self {
            ticket: Cell::new(tier.cursor().load(Relaxed)),
            credits: RefCell::default(),
            turns: RefCell::default(),
            damped: RefCell::default(),
        }
    }

    /// The next number of the tier's counter.
    pub(super) fn ticket(&self) -> u64 {
        self.ticket.replace(self.ticket.get().wrapping_add(1))
    }

    pub(super) fn cursor(&self) -> u64 {
        self.ticket.get()
    }

    pub(super) fn move_cursor(&self, current: u64, new: u64) -> bool {
        let is_current = self.ticket.get() == current;
        if is_current {
            self.ticket.set(new);
        }
        is_current
    }

    /// The credit of the backend at `i`, if it would have changed.
    pub(super) fn credit(&self, i: BackendIndex) -> Option<i64> {
        self.credits.borrow().get(&i).copied()
    }

    pub(super) fn set_credit(&self, i: BackendIndex, credit: i64) {
        self.credits.borrow_mut().insert(i, credit);
    }

    /// The next number of the counter `turns` of the backend at `i`.
    pub(super) fn ticket_of(&self, i: BackendIndex, turns: &AtomicU64) -> u64 {
        let mut taken = self.turns.borrow_mut();
        let taken = taken.entry(i).or_default();
        *taken += 1;
        turns.load(Relaxed).wrapping_add(*taken - 1)
    }

    /// The effective weight of the backend at `i` for turn number `turn`.
    pub(super) fn effective_weight(
        &self,
        i: BackendIndex,
        slot: &Slot,
        damping: &Damping,
        turn: u64,
    ) -> u16 {
        let mut damped = self.damped.borrow_mut();
        damping.preview(damped.entry(i).or_default(), slot.weight(), turn)
    }
}
