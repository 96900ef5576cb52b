//! Picks while failures have ejected all backends; see [`OnAllEjected`].

use std::net::SocketAddr;

use super::Membership;
use crate::backend::Health;
use crate::lease::pick::Pick;
use crate::pick::acquire::acquire;
use crate::pick::context::PickContext;
use crate::pick::dry_run::DryRun;
use crate::pick::request::PickRequest;
use crate::rng::Rng;
use crate::state::outage::Outage;
use crate::tiers::all_ejected::{MOST_TRIED, OnAllEjected};
use crate::tiers::generation::Generation;
use crate::tiers::tier::BackendIndex;
use crate::time::Timestamp;

impl Membership {
    /// Picks an ejected backend if all are ejected: the trial of an outage, or else any. O(n).
    #[cold]
    #[inline(never)]
    pub(crate) fn pick_ejected(
        &self,
        outage: &Outage,
        generation: &Generation,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Option<Pick> {
        let trial = self.pick_trial(outage, generation, request, now, rng);
        trial.or_else(|| self.pick_any_ejected(outage, generation, request, now, rng))
    }

    /// Picks an ejected backend. A success of the connection ends the ejection.
    fn pick_any_ejected(
        &self,
        outage: &Outage,
        generation: &Generation,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Option<Pick> {
        if !self.picks_ejected(outage, request, now) {
            return None;
        }
        let pick = self.tiers.iter().find_map(|tier| {
            let environment = self.environment(tier, generation, now).trial();
            let mut cx = PickContext::new(environment, request, rng);
            let picked = tier.pick(&mut cx);
            picked.or_else(|| acquire(tier.tier.slot(any(&mut cx)?)?, cx.environment()))
        })?;
        pick.forgive_if_connected();
        Some(pick)
    }

    /// The backend that [`pick_any_ejected`](Self::pick_any_ejected) would pick.
    pub(super) fn explain_ejected(
        &self,
        outage: &Outage,
        generation: &Generation,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Option<SocketAddr> {
        if self.notices_outage(outage, now) || !self.picks_ejected(outage, request, now) {
            return None;
        }
        self.tiers.iter().find_map(|compiled| {
            let dry_run = DryRun::new(&compiled.tier);
            let environment = self.environment(compiled, generation, now);
            let environment = environment.trial().dry_run(&dry_run);
            let mut cx = PickContext::new(environment, request, rng);
            let picked = compiled.picker.pick(&mut cx).or_else(|| any(&mut cx))?;
            Some(compiled.tier.slot(picked)?.state().addr())
        })
    }

    /// Whether a pick at `now` that has found no backend gets an ejected one.
    fn picks_ejected(&self, outage: &Outage, request: &PickRequest<'_>, now: Timestamp) -> bool {
        self.config.on_all_ejected == OnAllEjected::Try
            && request.tried.len() <= MOST_TRIED
            && !(self.forgives_outages() && outage.since().is_some())
            && self.all_are_ejected(now)
    }

    /// Whether every backend is ejected or unhealthy, and one is ejected only.
    fn all_are_ejected(&self, now: Timestamp) -> bool {
        let mut is_any_ejected = false;
        let slots = self.tiers.iter().flat_map(|tier| tier.tier.slots());
        for state in slots.map(|slot| slot.state()) {
            let is_healthy = state.health() == Health::Healthy;
            let is_ejected = state.ejected_until(now).is_some();
            if is_healthy && !is_ejected {
                return false;
            }
            is_any_ejected |= is_healthy;
        }
        is_any_ejected
    }
}

/// A backend that may be picked, drawn by weight: a load index leaves out ejected backends.
fn any(cx: &mut PickContext<'_>) -> Option<BackendIndex> {
    cx.draw_among(|cx, i| cx.is_eligible(i))
}
