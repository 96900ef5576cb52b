//! The choice of the tier that gets a connection, and the pick from it.

use std::num::NonZeroU64;

use super::Membership;
use super::compiled_tier::CompiledTier;
use crate::lease::pick::Pick;
use crate::pick::context::PickContext;
use crate::pick::environment::PickEnvironment;
use crate::pick::request::{PickError, PickRequest};
use crate::rng::Rng;
use crate::tiers::generation::Generation;
use crate::tiers::health;
use crate::time::Timestamp;

impl Membership {
    /// Picks from the tier whose turn it is, or from the first of the others that has a backend.
    #[inline]
    pub(crate) fn pick(
        &self,
        generation: &Generation,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Result<Pick, PickError> {
        let first = self.first_tier(generation, now, rng);
        let Some(tier) = self.tiers.get(first) else {
            return Err(self.refusal());
        };
        let mut cx = PickContext::new(self.environment(tier, generation, now), request, rng);
        tier.pick(&mut cx)
            .or_else(|| self.pick_elsewhere(first, generation, request, now, rng))
            .or_else(|| self.pick_in_panic(generation, request, now, rng))
            .ok_or_else(|| self.refusal())
    }

    /// Picks from another tier than number `not`.
    #[cold]
    fn pick_elsewhere(
        &self,
        not: usize,
        generation: &Generation,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Option<Pick> {
        let mut others = self.tiers.iter().enumerate().filter(|(at, _)| *at != not);
        others.find_map(|(_, tier)| {
            let environment = self.environment(tier, generation, now);
            tier.pick(&mut PickContext::new(environment, request, rng))
        })
    }

    /// Picks from a tier in panic mode. While another thread recomputed tier health, this one may have used values from
    /// before the panic, so which tiers panic is computed again before a connection is refused.
    #[cold]
    fn pick_in_panic(
        &self,
        generation: &Generation,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Option<Pick> {
        let tiers = self.tiers.iter().enumerate();
        let mut panicking = tiers.filter(|(at, _)| self.panics(*at, generation, now));
        panicking.find_map(|(_, tier)| {
            let environment = self.environment(tier, generation, now).panics(true);
            tier.pick(&mut PickContext::new(environment, request, rng))
        })
    }

    /// Whether health and ejection are ignored in tier number `at`.
    pub(super) fn panics(&self, at: usize, generation: &Generation, now: Timestamp) -> bool {
        self.refresh_health(generation, now);
        if !self.needs_health || self.validity.holds(generation.get(), now) {
            return self.tiers[at].tier.health().panics();
        }
        health::panics_at(&self.config, &self.tiers, at, now)
    }

    /// Whether health and ejection are ignored in a tier.
    pub(crate) fn is_in_panic(&self, generation: &Generation, now: Timestamp) -> bool {
        (0..self.tiers.len()).any(|at| self.panics(at, generation, now))
    }

    /// Whether some backend could be picked for the connection if it has room, or has room already.
    pub(crate) fn has_candidate(
        &self,
        generation: &Generation,
        request: &PickRequest<'_>,
        now: Timestamp,
    ) -> bool {
        self.tiers.iter().enumerate().any(|(at, tier)| {
            let panics = self.panics(at, generation, now);
            tier.tier.slots().iter().any(|slot| {
                (slot.is_healthy(now) || panics) && !request.tried.contains(slot.state().addr())
            })
        })
    }

    /// Why no backend was picked.
    #[cold]
    fn refusal(&self) -> PickError {
        if !self.is_ready {
            PickError::NotReady
        } else if self.tiers.is_empty() {
            PickError::Empty
        } else {
            PickError::Exhausted
        }
    }

    #[inline]
    pub(super) fn environment<'a>(
        &'a self,
        tier: &'a CompiledTier,
        generation: &'a Generation,
        now: Timestamp,
    ) -> PickEnvironment<'a> {
        PickEnvironment::new(&tier.tier, &self.config, generation, now)
    }

    /// The number of the tier that the next connection should go to.
    #[inline]
    pub(super) fn first_tier(
        &self,
        generation: &Generation,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> usize {
        if self.needs_health {
            self.draw_tier(generation, now, rng)
        } else {
            0
        }
    }

    /// Draws a tier by share.
    #[inline(never)]
    fn draw_tier(&self, generation: &Generation, now: Timestamp, rng: &mut dyn Rng) -> usize {
        self.refresh_health(generation, now);
        let shares = || self.tiers.iter().map(|tier| tier.tier.health().share());
        let all = shares().map(u64::from).sum();
        let Some(all) = NonZeroU64::new(all) else {
            return 0;
        };
        if shares().next().map(u64::from) == Some(all.get()) {
            return 0;
        }
        let mut at = rng.below(all);
        for (i, share) in shares().enumerate() {
            match at.checked_sub(share.into()) {
                Some(rest) => at = rest,
                None => return i,
            }
        }
        0
    }

    /// Recomputes the health of the tiers, if it no longer holds and no other thread does so.
    pub(crate) fn refresh_health(&self, generation: &Generation, now: Timestamp) {
        if !self.needs_health {
            return;
        }
        if self.validity.holds(generation.get(), now) || !self.validity.begin() {
            return;
        }
        // Read before the standings: a change that comes meanwhile has a later generation, and invalidates the result.
        // Model `a_second_change_while_tier_health_is_recomputed_is_not_lost` fails otherwise.
        let generation = generation.get();
        let until = health::recompute(&self.config, &self.tiers, now);
        self.validity.finish(generation, now, until);
    }
}

#[cfg(test)]
mod tests;
