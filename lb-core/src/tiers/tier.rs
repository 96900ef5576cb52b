//! The backends of one priority, laid out for picking.

use std::num::{NonZeroU16, NonZeroU32};

use super::health::TierHealth;
use super::slot::Slot;
use crate::backend::{Backend, Priority};
use crate::lease::reference::{Discount, StateRef};
use crate::load_index::index::LoadIndex;
use crate::load_index::tracking::Tracking;
use crate::snapshot::Snapshot;
use crate::state::backend_state::BackendState;
use crate::state::expectation::Expectation;
use crate::state::index_position::SharedIndex;
use crate::state::response_times::ResponseTimes;
use crate::sync::{Arc, atomic::AtomicU64};

/// A backend's index in a tier.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BackendIndex(u32);

impl BackendIndex {
    /// The index `i`, counted from 0 in the tier's order.
    pub const fn new(i: u32) -> Self {
        Self(i)
    }

    /// The index as a number.
    pub const fn get(self) -> u32 {
        self.0
    }

    pub(crate) const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// The backends of one priority that take connections, or those of them in one zone: what a
/// [`Policy`](crate::Policy) compiles.
///
/// Never empty, every weight above zero, none draining, in the snapshot's order.
#[doc(alias = "priority level", alias = "locality")]
#[derive(Debug)]
pub struct Tier {
    snapshot: Snapshot,
    /// The index of each backend in the snapshot.
    in_snapshot: Box<[u32]>,
    slots: Box<[Slot]>,
    /// Those of the slots' strong references.
    discounts: Box<[Discount<BackendState>]>,
    is_near: bool,
    /// The counter of the round robins. Outlives the tier: the next tier of this priority continues here.
    cursor: Arc<AtomicU64>,
    health: TierHealth,
    load_index: Option<SharedIndex>,
}

impl Tier {
    /// The backends of `snapshot` at the indices `in_snapshot`, of which there is at least one, each with the state that
    /// `state` returns for its index.
    pub(crate) fn new(
        snapshot: &Snapshot,
        in_snapshot: Vec<u32>,
        state: impl Fn(u32) -> StateRef<BackendState>,
        is_near: bool,
        cursor: Arc<AtomicU64>,
    ) -> Self {
        let backends = snapshot.as_slice();
        let slots = in_snapshot.iter().map(|&at| {
            let (state, discount) = state(at).into_parts();
            (Slot::new(state, &backends[at as usize]), discount)
        });
        let (slots, discounts): (Vec<Slot>, Vec<Discount<BackendState>>) = slots.unzip();
        Self {
            snapshot: snapshot.clone(),
            in_snapshot: in_snapshot.into(),
            slots: slots.into(),
            discounts: discounts.into(),
            is_near,
            cursor,
            health: TierHealth::new(),
            load_index: None,
        }
    }

    /// How many backends there are: at least one, because a tier without any is not built.
    pub fn len(&self) -> NonZeroU32 {
        let len = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        NonZeroU32::new(len).unwrap_or(NonZeroU32::MIN)
    }

    /// Every index of the tier.
    pub fn indices(&self) -> impl ExactSizeIterator<Item = BackendIndex> + use<> {
        (0..self.len().get()).map(BackendIndex)
    }

    /// The backend at `i`.
    ///
    /// # Panics
    ///
    /// If `i` is not an index of this tier.
    pub fn backend(&self, i: BackendIndex) -> &Backend {
        &self.snapshot.as_slice()[self.in_snapshot(i)]
    }

    /// The weight of the backend at `i`, not 0, because a tier has only backends that take connections.
    ///
    /// # Panics
    ///
    /// If `i` is not an index of this tier.
    pub fn weight(&self, i: BackendIndex) -> NonZeroU16 {
        self.slots[i.as_usize()].nonzero_weight()
    }

    /// Every weight in order.
    pub fn weights(&self) -> impl ExactSizeIterator<Item = NonZeroU16> {
        self.slots.iter().map(Slot::nonzero_weight)
    }

    /// The priority of its backends.
    pub(crate) fn priority(&self) -> Priority {
        self.backend(BackendIndex::new(0)).priority
    }

    /// The index of the backend at `i` in the snapshot.
    pub(crate) fn in_snapshot(&self, i: BackendIndex) -> usize {
        self.in_snapshot[i.as_usize()] as usize
    }

    /// Whether its backends are those of the preferred zone.
    pub(crate) const fn is_near(&self) -> bool {
        self.is_near
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn slot(&self, i: BackendIndex) -> Option<&Slot> {
        self.slots.get(i.as_usize())
    }

    pub(crate) fn cursor(&self) -> &AtomicU64 {
        &self.cursor
    }

    pub(crate) const fn health(&self) -> &TierHealth {
        &self.health
    }

    pub(crate) const fn load_index(&self) -> Option<&SharedIndex> {
        self.load_index.as_ref()
    }

    /// Makes every backend keep its response times, for a policy with `expectation`. Returns them in the tier's order.
    pub(crate) fn keep_response_times(
        &self,
        expectation: Expectation,
    ) -> Box<[Arc<ResponseTimes>]> {
        let states = self.slots.iter().map(Slot::state);
        let times = states.map(|state| Arc::clone(state.keep_response_times(expectation)));
        times.collect()
    }

    /// Makes the load index that `tracking` asks for. Leases do not update it yet.
    pub(crate) fn track(&mut self, tracking: Tracking) {
        let counts_total = match tracking {
            Tracking::Nothing => return,
            Tracking::Least => false,
            Tracking::Total => true,
        };
        let backends = self.slots.iter().map(Slot::indexed);
        self.load_index = Some(SharedIndex::new(LoadIndex::new(backends, counts_total)));
    }
}

impl Drop for Tier {
    /// Drops each discount and its strong reference before the next pair: while only the discount is gone, the state
    /// seems to have a lease more.
    fn drop(&mut self) {
        let discounts = std::mem::take(&mut self.discounts);
        discounts
            .into_iter()
            .zip(std::mem::take(&mut self.slots))
            .for_each(drop);
    }
}
