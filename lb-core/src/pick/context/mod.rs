//! The view that a policy has while it picks.

use std::fmt;
use std::num::NonZeroU64;
#[cfg(feature = "test-util")]
use std::{cell::Cell, sync::Arc};

use super::environment::PickEnvironment;
#[cfg(feature = "test-util")]
use super::gate::Gate;
use super::request::PickRequest;
use crate::rng::Rng;
use crate::tiers::slot::Slot;
use crate::tiers::tier::BackendIndex;
use crate::time::Timestamp;

mod loads;
mod turns;

/// All that a policy can read while it picks: the backends of one tier, the time, the connection's key, and draws.
///
/// Every method accepts any index; for one outside the tier its documentation says what it returns.
pub struct PickContext<'a> {
    environment: PickEnvironment<'a>,
    request: &'a PickRequest<'a>,
    rng: &'a mut dyn Rng,
    #[cfg(feature = "test-util")]
    questions: Cell<u64>,
    #[cfg(feature = "test-util")]
    gate: Cell<Option<Arc<Gate>>>,
}

impl<'a> PickContext<'a> {
    #[inline]
    pub(crate) fn new(
        environment: PickEnvironment<'a>,
        request: &'a PickRequest<'a>,
        rng: &'a mut dyn Rng,
    ) -> Self {
        Self {
            environment,
            request,
            rng,
            #[cfg(feature = "test-util")]
            questions: Cell::default(),
            #[cfg(feature = "test-util")]
            gate: Cell::default(),
        }
    }

    /// How often the policy asked or drew.
    #[cfg(feature = "test-util")]
    pub(crate) const fn questions(&self) -> u64 {
        self.questions.get()
    }

    /// Makes the policy stop at its next question.
    #[cfg(feature = "test-util")]
    pub(crate) fn stop_at(&self, gate: Arc<Gate>) {
        self.gate.set(Some(gate));
    }

    /// Stops at the gate, if there is one.
    #[cfg(feature = "test-util")]
    pub(crate) fn stop(&self) {
        if let Some(gate) = self.gate.take() {
            gate.meet();
            gate.meet();
        }
    }

    /// Counts a question, with the feature `test-util`. Every method that a policy may call does so, except those that
    /// only return what the pick was requested with.
    fn asked(&self) {
        #[cfg(feature = "test-util")]
        {
            self.questions.set(self.questions.get() + 1);
            self.stop();
        }
    }

    fn slot(&self, i: BackendIndex) -> Option<&'a Slot> {
        self.environment.tier.slot(i)
    }

    pub(crate) const fn environment(&self) -> &PickEnvironment<'a> {
        &self.environment
    }

    /// The moment of the pick.
    pub const fn now(&self) -> Timestamp {
        self.environment.now
    }

    /// The connection's hash key, if it has one; never empty.
    pub const fn key(&self) -> Option<&'a [u8]> {
        self.request.key
    }

    /// A random number below `bound`, which is not 0, because no number is below 0.
    #[inline]
    pub fn draw(&mut self, bound: NonZeroU64) -> u64 {
        self.asked();
        self.rng.below(bound)
    }

    /// 64 random bits.
    #[inline]
    pub(crate) fn draw_bits(&mut self) -> u64 {
        self.asked();
        self.rng.next_u64()
    }

    /// Whether the backend at `i` may be picked: not full, not ejected or unhealthy (unless the tier is in panic mode),
    /// not tried by this connection. False for an index outside the tier.
    #[inline]
    pub fn is_eligible(&self, i: BackendIndex) -> bool {
        self.asked();
        self.slot(i).is_some_and(|slot| {
            !slot.is_full()
                && self.environment.admits(slot)
                && (self.request.tried.is_empty() || !self.was_tried(slot))
        })
    }

    #[cold]
    #[inline(never)]
    fn was_tried(&self, slot: &Slot) -> bool {
        self.request.tried.contains(slot.state().addr())
    }

    /// The weight of the backend at `i`; 0 for an index outside the tier.
    #[inline]
    pub fn weight(&self, i: BackendIndex) -> u16 {
        self.asked();
        self.slot(i).map_or(0, Slot::weight)
    }

    /// One draw by weight among exactly the backends that `accept` takes, in two passes over the tier. O(n): a
    /// policy's last resort, fair whatever else is refused.
    pub fn draw_among(
        &mut self,
        accept: impl Fn(&Self, BackendIndex) -> bool,
    ) -> Option<BackendIndex> {
        let tier = self.environment.tier;
        let weight = |i| u64::from(tier.weight(i).get());
        let accepted = tier.indices().filter(|&i| accept(self, i));
        let mut left = self.draw(NonZeroU64::new(accepted.map(weight).sum())?);
        let mut last = None;
        for i in tier.indices().filter(|&i| accept(self, i)) {
            last = Some(i);
            match left.checked_sub(weight(i)) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        // The passes differ if another thread picks between them. Then the last accepted backend is returned.
        last
    }
}

impl fmt::Debug for PickContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickContext")
            .field("request", &self.request)
            .field("now", &self.environment.now)
            .finish_non_exhaustive()
    }
}
