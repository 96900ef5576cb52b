//! The backends of one priority, laid out for picking.

use std::num::{NonZeroU16, NonZeroU32};

use crate::backend::{Backend, Priority};
use crate::lease::lease::Lease;
use crate::lease::reference::{self, Held, Mark};
use crate::pick::context::World;
use crate::snapshot::Snapshot;
use crate::state::backend_state::BackendState;
use crate::state::health::Health;
use crate::sync::{Arc, atomic::AtomicU64};
use crate::time::Timestamp;

/// A backend's place in a tier.
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

/// The backends of one priority that take connections, or those of them in one zone: what a [`Policy`](crate::Policy) compiles.
///
/// Never empty, every weight above zero, none draining, in the snapshot's order.
#[derive(Debug)]
pub struct Tier {
    snapshot: Snapshot,
    /// Where each backend is in the snapshot.
    places: Box<[u32]>,
    slots: Box<[Slot]>,
    /// Those of the slots' states.
    marks: Box<[Mark]>,
    near: bool,
    /// Outlives the tier: the next tier of this priority goes on where this one stops.
    cursor: Arc<AtomicU64>,
}

impl Tier {
    /// The backends of `snapshot` at `places`, of which there is at least one, with their state.
    pub(crate) fn new(
        snapshot: &Snapshot,
        members: Vec<(u32, Held)>,
        near: bool,
        cursor: Arc<AtomicU64>,
    ) -> Self {
        let backends = snapshot.as_slice();
        let places = members.iter().map(|(place, _)| *place).collect();
        let slots = members.into_iter().map(|(place, member)| {
            let (state, mark) = member.into_parts();
            (Slot::new(state, &backends[place as usize]), mark)
        });
        let (slots, marks): (Vec<Slot>, Vec<Mark>) = slots.unzip();
        Self {
            snapshot: snapshot.clone(),
            places,
            slots: slots.into(),
            marks: marks.into(),
            near,
            cursor,
        }
    }

    /// How many backends there are.
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
        &self.snapshot.as_slice()[self.places[i.as_usize()] as usize]
    }

    /// The weight of the backend at `i`.
    ///
    /// # Panics
    ///
    /// If `i` is not an index of this tier.
    pub fn weight(&self, i: BackendIndex) -> NonZeroU16 {
        self.slots[i.as_usize()].weight
    }

    /// Every weight in order.
    pub fn weights(&self) -> impl ExactSizeIterator<Item = NonZeroU16> {
        self.slots.iter().map(|slot| slot.weight)
    }

    /// The priority that its backends have.
    pub(crate) fn priority(&self) -> Priority {
        self.backend(BackendIndex::new(0)).priority
    }

    /// Where the backend at `i` is in the snapshot.
    pub(crate) fn place(&self, i: BackendIndex) -> usize {
        self.places[i.as_usize()] as usize
    }

    /// Whether its backends are those of the preferred zone.
    pub(crate) const fn is_near(&self) -> bool {
        self.near
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
}

impl Drop for Tier {
    /// Pair by pair: while only its mark is gone, a state seems to have a lease more.
    fn drop(&mut self) {
        let marks = std::mem::take(&mut self.marks);
        marks
            .into_iter()
            .zip(std::mem::take(&mut self.slots))
            .for_each(drop);
    }
}

/// A backend's state, and what a pick must know of its configuration.
///
/// Small, so that those of ten thousand backends fit into the cache of a core.
#[derive(Debug)]
pub(crate) struct Slot {
    state: Arc<BackendState>,
    max_conns: Option<NonZeroU32>,
    weight: NonZeroU16,
}

impl Slot {
    fn new(state: Arc<BackendState>, backend: &Backend) -> Self {
        Self {
            state,
            max_conns: backend.max_conns,
            weight: NonZeroU16::new(backend.weight.get()).unwrap_or(NonZeroU16::MIN),
        }
    }

    pub(crate) fn hold(&self) -> Held {
        Held::hold(&self.state)
    }

    pub(crate) const fn max_conns(&self) -> Option<NonZeroU32> {
        self.max_conns
    }

    pub(crate) fn state(&self) -> &BackendState {
        &self.state
    }

    pub(crate) const fn nonzero_weight(&self) -> NonZeroU16 {
        self.weight
    }

    pub(crate) const fn weight(&self) -> u16 {
        self.weight.get()
    }

    pub(crate) fn in_flight(&self) -> u32 {
        reference::in_flight(&self.state)
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.max_conns
            .is_some_and(|max| reference::is_full(&self.state, max))
    }

    /// Whether it is in good standing at `now`: neither ejected nor unhealthy.
    #[inline]
    pub(crate) fn is_fit(&self, now: Timestamp) -> bool {
        !self.state().glance().is_doubtful() || self.is_fit_all_the_same(now)
    }

    #[cold]
    #[inline(never)]
    fn is_fit_all_the_same(&self, now: Timestamp) -> bool {
        self.state().health() == Health::Healthy && self.state().ejected_until(now).is_none()
    }

    /// Takes one connection of the backend, unless it is full or another thread has its trial, which does not matter in
    /// panic mode.
    #[inline]
    pub(crate) fn acquire(&self, world: &World<'_>) -> Option<Lease> {
        let now = world.now;
        let lease = Lease::take(&self.state, self.max_conns, now)?;
        let state = self.state();
        if state.glance().is_placed() {
            state.note_lease(world.level.board.as_ref());
        }
        if state.glance().is_doubtful() && !self.claim(now) && !world.panics {
            return None;
        }
        Some(lease)
    }

    #[cold]
    #[inline(never)]
    fn claim(&self, now: Timestamp) -> bool {
        let state = self.state();
        state.fail_limit().is_none_or(|limit| {
            let claimed = state.failures.claim(limit, now);
            if claimed && state.failures.ejected_until(limit, now).is_some() {
                // A trial: until it succeeds, the backend is ejected for everybody else.
                state.note_change();
            }
            claimed
        })
    }
}
