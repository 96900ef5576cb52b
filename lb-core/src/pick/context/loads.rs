//! Loads: connections in flight, connect times, and the load index.

use std::num::NonZeroU64;
use std::time::Duration;

use super::PickContext;
use crate::load_index::index::LoadIndex;
use crate::state::index_position::TierIndex;
use crate::tiers::slot::Slot;
use crate::tiers::tier::BackendIndex;

/// How many of the least loaded backends [`PickContext::least_loaded`] tries.
const ATTEMPTS: u32 = 64;

impl<'a> PickContext<'a> {
    /// Connections in flight of the backend at `i`; 0 for an index outside the tier.
    #[inline]
    pub fn in_flight(&self, i: BackendIndex) -> u32 {
        self.asked();
        self.slot(i).map_or(0, Slot::in_flight)
    }

    /// Connections in flight and the weight.
    #[inline]
    pub(crate) fn load(&self, i: BackendIndex) -> (u64, u64) {
        self.asked();
        let both = |slot: &Slot| (slot.in_flight().into(), slot.weight().into());
        self.slot(i).map_or((0, 0), both)
    }

    /// The peak-sensitive average of the times that connecting to the backend at `i` took, decayed with a time
    /// constant of 10 s since the last sample. `None` without a sample, and for an index outside the tier.
    #[inline]
    pub fn connect_time(&self, i: BackendIndex) -> Option<Duration> {
        self.asked();
        let state = self.slot(i)?.state();
        state.connect_time.get_at(self.environment.now)
    }

    /// The `fail_timeout` of the backend at `i`, in nanoseconds; 0 for an index outside the tier.
    #[inline]
    pub(crate) fn fail_timeout(&self, i: BackendIndex) -> u64 {
        self.slot(i).map_or(0, |slot| slot.state().fail_timeout())
    }

    /// One of the backends with the fewest connections in flight for their weight, drawn by weight among them; it is
    /// eligible and takes its turn. O(log n), for policies of [`Tracking::Least`](crate::policy::Tracking::Least).
    ///
    /// `None` for other policies, and if 64 draws find none: the connection has tried the least loaded backends, or they
    /// are in slow start. Then [`draw_among`](Self::draw_among) finds the others.
    pub fn least_loaded(&mut self) -> Option<BackendIndex> {
        let index = self.load_index()?;
        let generation = self.generation();
        index.restore(generation, self.now());
        for _ in 0..ATTEMPTS {
            let (load, weight) = index.least()?;
            let at = self.draw(NonZeroU64::new(weight)?);
            let i = BackendIndex::new(index.find(load, at)?);
            if self.takes_turn(i) {
                return Some(i);
            }
            self.exclude(i, generation);
        }
        None
    }

    /// The connections in flight of the whole tier, for policies of
    /// [`Tracking::Total`](crate::policy::Tracking::Total); 0 for others.
    pub fn total_in_flight(&self) -> u64 {
        self.totals().0
    }

    /// The sum of the weights of the healthy backends of the tier, for policies of
    /// [`Tracking::Total`](crate::policy::Tracking::Total); may be 0 for others.
    pub fn healthy_weight(&self) -> u64 {
        self.totals().1
    }

    /// The load index of the tier, for policies of [`Tracking::Least`](crate::policy::Tracking::Least).
    pub(crate) fn load_index(&self) -> Option<&'a TierIndex> {
        self.asked();
        self.environment.tier.load_index().map(|index| &**index)
    }

    /// The connections in flight of the tier and the weight of its healthy backends, for policies of
    /// [`Tracking::Total`](crate::policy::Tracking::Total).
    pub(crate) fn totals(&self) -> (u64, u64) {
        self.asked();
        let tier = self.environment.tier;
        let total = tier.load_index().map_or(0, |index| LoadIndex::total(index));
        (total, tier.health().weight())
    }

    /// Increases whenever a backend is ejected, readmitted, or found healthy or unhealthy.
    pub(crate) fn generation(&self) -> u64 {
        self.asked();
        self.environment.generation.get()
    }

    /// Excludes the backend at `i` from the load index if it is not healthy, until a backend's standing changes after
    /// `generation`.
    #[cold]
    pub(crate) fn exclude(&self, i: BackendIndex, generation: u64) {
        self.asked();
        let Some((slot, index)) = self.slot(i).zip(self.environment.tier.load_index()) else {
            return;
        };
        let now = self.environment.now;
        if !self.environment.admits(slot) {
            index.exclude(i.get(), slot.state().ejected_until(now), generation);
        }
    }
}
