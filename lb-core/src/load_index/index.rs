//! The loads of all backends of a tier.
//!
//! Leases update the index when they begin and when they end. An update always computes the load from the reference
//! counts, never from what was stored before, and a thread that stored a load reads the counts again afterwards. So
//! whichever of several threads stores last leaves the right load.
//!
//! The index may be behind for as long as such an update takes. A new index may be behind for a second, where a lease
//! ended while its backend, which was in no index, returned. So a pick checks what it finds.

use std::num::NonZeroU32;
use std::time::Duration;

pub(crate) use super::tree::EXCLUDED;
use super::tree::MinTree;
use crate::lease::reference::StateRef;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst, fence};
use crate::time::Timestamp;

/// How long after its first pick an index reads all reference counts once more.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// The loads of backends with states of type `S`.
///
/// On cache lines of its own: every pick reads it, and leases that end write to its reference count.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct LoadIndex<S> {
    backends: Box<[IndexedBackend<S>]>,
    /// The connections in flight of all. Only where a policy asks for it, because every thread writes to it.
    total: Option<AtomicU64>,
    tree: MinTree,
    /// When the first ejection of an excluded backend ends, in nanoseconds.
    excluded_until: AtomicU64,
    /// The oldest generation of tier health at which a backend was excluded.
    excluded_at: AtomicU64,
    /// Whether there was no pick yet.
    is_new: AtomicBool,
}

/// A backend, and what its load follows from.
#[derive(Debug)]
pub(crate) struct IndexedBackend<S> {
    pub(crate) state: StateRef<S>,
    pub(crate) weight: u16,
    pub(crate) max_conns: Option<NonZeroU32>,
    /// What `total` counts of it.
    counted: AtomicU32,
}

impl<S> LoadIndex<S> {
    /// An index of `backends`, none of which takes connections until [`update_all`](Self::update_all). Counts their
    /// total if `counts_total`.
    pub(crate) fn new(
        backends: impl Iterator<Item = IndexedBackend<S>>,
        counts_total: bool,
    ) -> Self {
        let backends: Box<[_]> = backends.collect();
        Self {
            tree: MinTree::new(backends.iter().map(|backend| backend.weight.into())),
            backends,
            total: counts_total.then(AtomicU64::default),
            excluded_until: AtomicU64::new(u64::MAX),
            excluded_at: AtomicU64::new(0),
            is_new: AtomicBool::new(true),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.backends.len()
    }

    /// The state of backend number `at`, which is below the length.
    pub(super) fn state(&self, at: usize) -> &S {
        self.backends[at].state.state()
    }

    /// Updates the loads of all. O(n).
    pub(crate) fn update_all(&self) {
        for (at, backend) in self.backends.iter().enumerate() {
            self.record(backend, |load| self.tree.set_leaf(at, load));
        }
        self.tree.update_all();
    }

    /// Updates the load of one backend.
    pub(super) fn update(&self, at: usize) {
        if let Some(backend) = self.backends.get(at) {
            self.record(backend, |load| self.tree.set(at, load));
        }
    }

    /// Stores the load of `backend` by `store`, until the reference counts are those that it was computed from.
    fn record(&self, backend: &IndexedBackend<S>, store: impl Fn(u64)) {
        let mut recorded = None;
        loop {
            // SeqCst: pairs with the same fence in another thread and with the one in `Pick::end`. Reference counts
            // are read relaxed: without it, the thread that stores last may miss a count that changed before
            // (model `leases_that_begin_and_end_at_once_are_recorded`).
            fence(SeqCst);
            let in_flight = backend.state.in_flight();
            if recorded == Some(in_flight) {
                return;
            }
            if let Some(total) = &self.total {
                let before = backend.counted.swap(in_flight, SeqCst);
                let more = u64::from(in_flight).wrapping_sub(before.into());
                total.fetch_add(more, SeqCst);
            }
            store(backend.load(in_flight));
            recorded = Some(in_flight);
        }
    }

    /// Connections in flight of the whole tier; 0 in an index that does not count them.
    pub(crate) fn total(&self) -> u64 {
        self.total.as_ref().map_or(0, |total| total.load(SeqCst))
    }

    /// The least load, and the weight of the backends that have it. `None` if none takes connections.
    pub(crate) fn least(&self) -> Option<(u64, u64)> {
        self.tree.least()
    }

    /// The load of one backend: comparable with others, and [`EXCLUDED`] if it takes no connections.
    pub(crate) fn load(&self, at: u32) -> u64 {
        self.tree.load(at)
    }

    /// One of the backends with the load `load`. With `at` drawn evenly below the weight that has it, each is found with
    /// a chance in proportion to its weight.
    pub(crate) fn find(&self, load: u64, at: u64) -> Option<u32> {
        self.tree.find(load, at)
    }

    /// Excludes a backend that a pick found ejected until `until`, or unhealthy, at the `generation` of tier health.
    pub(crate) fn exclude(&self, at: u32, until: Option<Timestamp>, generation: u64) {
        if at as usize >= self.backends.len() {
            return;
        }
        self.tree.set(at as usize, EXCLUDED);
        // Stored after the exclusion: a thread that restores backends meanwhile clears this note only if it sees the
        // exclusion.
        if let Some(until) = until {
            self.excluded_until.fetch_min(until.as_nanos(), SeqCst);
        }
        // The least: another pick may have seen a later generation, and this one did not see the changes between.
        self.excluded_at.fetch_min(generation, SeqCst);
    }

    /// Restores the excluded backends, if one of them may be healthy again. O(n) then.
    ///
    /// A second after its first pick, a new index does so without a reason: a lease that ended while its backend
    /// returned may not have found the index.
    pub(crate) fn restore(&self, generation: u64, now: Timestamp) {
        if self.is_new.load(SeqCst) && self.is_new.swap(false, SeqCst) {
            let second_look = now.saturating_add(SECOND_LOOK);
            self.excluded_until
                .fetch_min(second_look.as_nanos(), SeqCst);
        }
        let is_over = now.as_nanos() >= self.excluded_until.load(SeqCst);
        if is_over || self.excluded_at.load(SeqCst) != generation {
            // Swapped, not stored: a thread that clears a note sees the exclusion that it is about.
            self.excluded_until.swap(u64::MAX, SeqCst);
            self.excluded_at.swap(generation, SeqCst);
            self.update_all();
        }
    }
}

impl<S> IndexedBackend<S> {
    pub(crate) fn new(state: StateRef<S>, weight: u16, max_conns: Option<NonZeroU32>) -> Self {
        Self {
            state,
            weight,
            max_conns,
            counted: AtomicU32::new(0),
        }
    }

    /// Connections for weight, as a number that orders as the fractions do and is equal where they are: two fractions
    /// that differ do so by 2^-32 at least, because weights are below 2^16.
    fn load(&self, in_flight: u32) -> u64 {
        if self.max_conns.is_some_and(|max| in_flight >= max.get()) {
            return EXCLUDED;
        }
        (u64::from(in_flight.min(1 << 30)) << 33) / u64::from(self.weight.max(1))
    }
}
