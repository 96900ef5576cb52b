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
use crate::tiers::slot::Slot;
use crate::tiers::tier::{BackendIndex, Tier};
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
        let pick = self.pick_despite_ejections(generation, request, now, rng, |tier, cx| {
            acquire(tier.slot(any(cx)?)?, cx.environment())
        })?;
        pick.forgive_if_connected();
        Some(pick)
    }

    /// Picks of the first tier that has a backend for `request`, ejected or not: by the policy, or else by `otherwise`, because a
    /// load index leaves out ejected backends.
    pub(super) fn pick_despite_ejections(
        &self,
        generation: &Generation,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
        otherwise: impl Fn(&Tier, &mut PickContext<'_>) -> Option<Pick>,
    ) -> Option<Pick> {
        self.tiers.iter().find_map(|compiled| {
            let environment = self.environment(compiled, generation, now).trial();
            let mut cx = PickContext::new(environment, request, rng);
            let picked = compiled.pick(&mut cx);
            picked.or_else(|| otherwise(&compiled.tier, &mut cx))
        })
    }

    /// The backend that [`pick_ejected`](Self::pick_ejected) would pick.
    pub(super) fn explain_ejected(
        &self,
        outage: &Outage,
        generation: &Generation,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Option<SocketAddr> {
        let is_trial = self.has_trial(outage, now);
        if !is_trial
            && (self.is_outage_due(outage, now) || !self.picks_ejected(outage, request, now))
        {
            return None;
        }
        self.tiers.iter().find_map(|compiled| {
            let tier = &compiled.tier;
            let dry_run = DryRun::new(tier);
            let environment = self.environment(compiled, generation, now);
            let environment = environment.trial().dry_run(&dry_run);
            let mut cx = PickContext::new(environment, request, rng);
            let picked = compiled.picker.pick(&mut cx);
            let picked = picked.or_else(|| match is_trial {
                true => tier.indices().find(|&i| cx.is_eligible(i)),
                false => any(&mut cx),
            });
            Some(tier.slot(picked?)?.state().addr())
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
        let has_healthy_check = |slot: &Slot| slot.state().health() == Health::Healthy;
        !self.slots().any(|slot| slot.is_healthy(now)) && self.slots().any(has_healthy_check)
    }
}

/// A backend that may be picked, drawn by weight.
fn any(cx: &mut PickContext<'_>) -> Option<BackendIndex> {
    cx.draw_among(|cx, i| cx.is_eligible(i))
}
