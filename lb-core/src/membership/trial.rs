//! The outage that all backends have in common: the path from this machine to them is gone.
//!
//! No backend is to blame for it. So it is looked for where a pick finds no backend: every backend that takes connections
//! is ejected, no failure that led to it had an answer, and all happened within a
//! [window](field@crate::CommonOutage::window). From then
//! on a pick now and then gets an ejected backend as a trial. The first answer of any backend, be it a success, a
//! refusal or a successful check, ends the outage and all ejections that it caused.

use super::Membership;
use crate::backend::Health;
use crate::lease::pick::Pick;
use crate::pick::acquire::acquire;
use crate::pick::request::PickRequest;
use crate::rng::Rng;
use crate::state::outage::Outage;
use crate::tiers::generation::Generation;
use crate::time::Timestamp;

impl Membership {
    /// Whether ejections that an outage caused are forgiven.
    pub(crate) const fn forgives_outages(&self) -> bool {
        self.config.common_outage.is_some()
    }

    /// When the outage that the backends have in common began, if there is one at `now`. O(n).
    pub(super) fn common_outage(&self, now: Timestamp) -> Option<Timestamp> {
        let window = self.config.common_outage?.window;
        let detection = self.config.outlier_detection.as_ref();
        let slots = self.slots();
        let (mut first, mut last, mut backends) = (None::<Timestamp>, Timestamp::default(), 0);
        for state in slots.map(|slot| slot.state()) {
            match state.unanswered_since(detection, now) {
                Some(since) => {
                    first = Some(first.map_or(since, |first| first.min(since)));
                    last = last.max(since);
                    backends += 1;
                }
                // A check has found it unhealthy, maybe for the same reason.
                None if state.ejected_until(now).is_none() && state.health() != Health::Healthy => {
                }
                None => return None,
            }
        }
        // One backend alone may as well be dead.
        let first = first.filter(|_| backends > 1)?;
        (last.saturating_since(first) <= window).then_some(first)
    }

    /// Whether a pick at `now` that finds no backend gets a trial. O(n) if one is due.
    pub(super) fn has_trial(&self, outage: &Outage, now: Timestamp) -> bool {
        outage.since().is_some() && self.is_outage_due(outage, now)
    }

    /// Whether a pick at `now` that finds no backend notices an outage, which refuses it, or makes the trial of one. O(n).
    pub(super) fn is_outage_due(&self, outage: &Outage, now: Timestamp) -> bool {
        self.config.common_outage.is_some_and(|config| {
            outage.due(config.trial_interval, now).is_some() && self.common_outage(now).is_some()
        })
    }

    /// Picks a backend although all are ejected, if an outage may be the reason and a trial is due.
    ///
    /// The pick that notices an outage is refused; the first trial comes after one interval.
    pub(super) fn pick_trial(
        &self,
        outage: &Outage,
        generation: &Generation,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Option<Pick> {
        let interval = self.config.common_outage?.trial_interval;
        let tried_at = outage.due(interval, now)?;
        let was_known = outage.since().is_some();
        match self.common_outage(now) {
            Some(since) => outage.begun(since),
            None => {
                outage.refuted();
                return None;
            }
        }
        if was_known && !self.has_untried(request) {
            return None;
        }
        if !outage.claim_trial(tried_at, now) || !was_known {
            return None;
        }
        self.pick_despite_ejections(generation, request, now, rng, |tier, cx| {
            let mut indices = tier.indices().filter(|&i| cx.is_eligible(i));
            indices.find_map(|i| acquire(tier.slot(i)?, cx.environment()))
        })
    }

    /// Whether a trial could get a backend that the connection has not failed on.
    fn has_untried(&self, request: &PickRequest<'_>) -> bool {
        let mut slots = self.slots();
        slots.any(|slot| {
            let state = slot.state();
            state.health() == Health::Healthy
                && !slot.is_full()
                && !request.tried.contains(state.addr())
        })
    }
}
