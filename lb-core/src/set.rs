//! The membership that picks are made from: immutable, replaced as a whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::backend::{Backend, Priority};
use crate::outlier::FailLimit;
use crate::snapshot::Snapshot;
use crate::state::BackendState;
use crate::sync::atomic::AtomicU64;
use crate::time::Timestamp;

/// Every backend of one snapshot with its state, for status pages and hooks.
#[derive(Debug, Default)]
pub struct BackendSet {
    snapshot: Snapshot,
    slots: Vec<Arc<Slot>>,
    tiers: Vec<Tier>,
}

impl BackendSet {
    /// Every backend as it stands at `now`, in the snapshot's order.
    pub fn status(&self, now: Timestamp) -> impl Iterator<Item = BackendStatus<'_>> {
        self.slots.iter().map(move |slot| BackendStatus {
            backend: &slot.backend,
            in_flight: slot.state.in_flight(),
            fails: slot.state.failures.fails(),
            connect_time: slot.state.connect_time.get_at(now),
            ejected_until: slot.ejected_until(now),
            joined_at: slot.state.joined_at(),
        })
    }

    /// The snapshot that this set was made of.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn tiers(&self) -> &[Tier] {
        &self.tiers
    }
}

/// One backend at one moment.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct BackendStatus<'a> {
    /// The backend as the source reported it.
    pub backend: &'a Backend,
    /// Connections that it holds.
    pub in_flight: u32,
    /// Failures that are not yet forgiven.
    pub fails: u32,
    /// The moving average of the times that connecting took.
    pub connect_time: Option<Duration>,
    /// When its ejection ends, if it is ejected.
    pub ejected_until: Option<Timestamp>,
    /// When it became known.
    pub joined_at: Timestamp,
}

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

/// The backends of one priority that take connections: what a [`Policy`](crate::Policy) compiles.
///
/// Never empty, every weight above zero, none draining, in the snapshot's order.
#[derive(Debug)]
pub struct Tier {
    slots: Box<[Arc<Slot>]>,
    /// Outlives the tier: the next tier of this priority goes on where this one stops.
    cursor: Arc<AtomicU64>,
}

impl Tier {
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
        &self.slots[i.as_usize()].backend
    }

    /// The weight of the backend at `i`.
    ///
    /// # Panics
    ///
    /// If `i` is not an index of this tier.
    pub fn weight(&self, i: BackendIndex) -> NonZeroU16 {
        NonZeroU16::new(self.backend(i).weight.get()).unwrap_or(NonZeroU16::MIN)
    }

    /// Every weight in order.
    pub fn weights(&self) -> impl ExactSizeIterator<Item = NonZeroU16> {
        self.indices().map(|i| self.weight(i))
    }

    /// The priority that its backends have.
    pub(crate) fn priority(&self) -> Priority {
        self.backend(BackendIndex::new(0)).priority
    }

    pub(crate) fn slot(&self, i: BackendIndex) -> Option<&Arc<Slot>> {
        self.slots.get(i.as_usize())
    }

    pub(crate) fn cursor(&self) -> &AtomicU64 {
        &self.cursor
    }
}

/// A backend, its state, and what decides at pick time whether it is eligible.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) backend: Backend,
    pub(crate) state: Arc<BackendState>,
    /// The backend's own limit, or none where ejecting it would leave nothing to pick.
    pub(crate) fail_limit: Option<FailLimit>,
}

impl Slot {
    pub(crate) fn is_available(&self, now: Timestamp) -> bool {
        let full = |max: NonZeroU32| self.state.in_flight() >= max.get();
        !self.backend.max_conns.is_some_and(full) && self.ejected_until(now).is_none()
    }

    pub(crate) fn ejected_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.state.failures.ejected_until(self.fail_limit?, now)
    }

    /// Takes one connection of the backend, unless it is full or another thread has its trial.
    pub(crate) fn acquire(&self, now: Timestamp) -> bool {
        if !self.state.acquire(self.backend.max_conns) {
            return false;
        }
        let claimed = self
            .fail_limit
            .is_none_or(|limit| self.state.failures.claim(limit, now));
        if claimed {
            let average = &self.state.connect_average;
            average.picked(self.fail_timeout(), now);
        } else {
            self.state.release();
        }
        claimed
    }

    /// The milliseconds that connecting is expected to take, as nginx's `least_time` reckons.
    pub(crate) fn expected_connect_millis(&self, now: Timestamp) -> u64 {
        let average = &self.state.connect_average;
        average.expected_millis(self.fail_timeout(), now)
    }

    fn fail_timeout(&self) -> Duration {
        self.backend.fail_limit.unwrap_or_default().fail_timeout
    }
}

/// What outlives every set: the states by address and the cursors by priority.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    states: BTreeMap<SocketAddr, Known>,
    /// Backends that left while connections were in flight; one that returns in time finds its state again.
    departed: BTreeMap<SocketAddr, Departed>,
    cursors: BTreeMap<Priority, Arc<AtomicU64>>,
}

#[derive(Debug)]
struct Known {
    instance: Option<Arc<str>>,
    state: Arc<BackendState>,
}

#[derive(Debug)]
struct Departed {
    instance: Option<Arc<str>>,
    state: Weak<BackendState>,
}

impl Registry {
    /// Compiles `snapshot`, keeping the state of every backend that stays.
    pub(crate) fn advance(&mut self, snapshot: &Snapshot, now: Timestamp) -> BackendSet {
        let mut old = std::mem::take(&mut self.states);
        // nginx never ejects the only server of a group: refusing by rote helps nobody.
        let alone = snapshot.iter().filter(|b| b.takes_connections()).count() == 1;
        let mut slots = Vec::with_capacity(snapshot.len());
        for backend in snapshot {
            let state = self.state_of(backend, old.remove(&backend.addr), now);
            slots.push(Arc::new(Slot {
                fail_limit: backend.fail_limit.filter(|_| !alone),
                backend: backend.clone(),
                state,
            }));
        }
        self.departed
            .retain(|_, gone| gone.state.strong_count() > 0);
        for (addr, known) in old {
            let gone = Departed {
                instance: known.instance,
                state: Arc::downgrade(&known.state),
            };
            self.departed.insert(addr, gone);
        }
        BackendSet {
            snapshot: snapshot.clone(),
            tiers: self.tiers(&slots),
            slots,
        }
    }

    fn state_of(
        &mut self,
        backend: &Backend,
        known: Option<Known>,
        now: Timestamp,
    ) -> Arc<BackendState> {
        let departed = self.departed.remove(&backend.addr);
        let state = known
            .filter(|known| known.instance == backend.instance)
            .map(|known| known.state)
            .or_else(|| {
                departed
                    .filter(|gone| gone.instance == backend.instance)?
                    .state
                    .upgrade()
            })
            .unwrap_or_else(|| Arc::new(BackendState::new(now)));
        let known = Known {
            instance: backend.instance.clone(),
            state: Arc::clone(&state),
        };
        self.states.insert(backend.addr, known);
        state
    }

    fn tiers(&mut self, slots: &[Arc<Slot>]) -> Vec<Tier> {
        let mut by_priority: BTreeMap<Priority, Vec<Arc<Slot>>> = BTreeMap::new();
        for slot in slots.iter().filter(|s| s.backend.takes_connections()) {
            let tier = by_priority.entry(slot.backend.priority).or_default();
            tier.push(Arc::clone(slot));
        }
        by_priority
            .into_iter()
            .map(|(priority, slots)| Tier {
                slots: slots.into(),
                cursor: Arc::clone(self.cursors.entry(priority).or_default()),
            })
            .collect()
    }
}
