//! The outage that all backends have in common: the path from this machine to them is gone.
//!
//! No backend is to blame for it. So it is looked for where a pick finds no backend: every backend that takes connections
//! is ejected, no failure that led to it had an answer, and all happened within a [window](CommonOutage::window). From then
//! on a pick now and then gets an ejected backend as a trial. The first answer of any backend, be it a success, a
//! refusal or a successful check, ends the outage and all ejections that it caused.

use std::time::Duration;

use super::Membership;
use crate::backend::Health;
use crate::lease::pick::Pick;
use crate::pick::acquire::acquire;
use crate::pick::context::PickContext;
use crate::pick::request::PickRequest;
use crate::rng::Rng;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::tiers::generation::Generation;
use crate::time::Timestamp;

/// When failures of all backends are blamed on the path to them, and how often it is tried.
///
/// nginx ejects a server for its `fail_timeout` whatever the reason was. With this setting a balancer whose link, address or
/// route was gone forgives its backends as soon as one of them answers. It concerns failures that
/// [`Pick::unanswered`](crate::Pick::unanswered) reports: a backend that refuses connections is ejected as without it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CommonOutage {
    /// The longest time from the first to the last of the ejections of one outage. Default: 10 s.
    pub window: Duration,
    /// The time between two trials. It bounds the connections that are sent to backends that may be dead. Default: 100 ms.
    pub trial_interval: Duration,
}

impl Default for CommonOutage {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            trial_interval: Duration::from_millis(100),
        }
    }
}

impl CommonOutage {
    /// Sets [`window`](Self::window).
    #[must_use]
    pub const fn with_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sets [`trial_interval`](Self::trial_interval).
    #[must_use]
    pub const fn with_trial_interval(mut self, interval: Duration) -> Self {
        self.trial_interval = interval;
        self
    }
}

/// Ejections that ended before their time, because an outage caused them.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ForgivenEjections {
    /// How many backends are eligible again.
    pub backends: u32,
    /// How long the outage lasted, to 1 ms: from the first ejection to the first answer. Zero if the balancer did not
    /// notice it.
    pub outage: Duration,
}

/// The current outage.
///
/// Relaxed accesses suffice: each word agrees with itself, and a pick that reads an old value is refused, or has a trial,
/// once more. A failure that is counted in the nanoseconds in which its outage ends may eject its backend as in nginx.
#[derive(Debug)]
pub(crate) struct Outage {
    /// When it began, in nanoseconds; 0 without one.
    since: AtomicU64,
    /// When the last trial was picked.
    tried_at: AtomicU64,
    /// When the last outage ended; 0 without one.
    ended_at: AtomicU64,
    /// What [`take_forgiven`](Self::take_forgiven) returns: 24 bits for the backends, 40 for milliseconds.
    forgiven: AtomicU64,
}

const MILLIS: u64 = (1 << 40) - 1;

impl Outage {
    pub(crate) fn new() -> Self {
        Self {
            since: AtomicU64::new(0),
            tried_at: AtomicU64::new(0),
            ended_at: AtomicU64::new(0),
            forgiven: AtomicU64::new(0),
        }
    }

    /// When it began, if there is one.
    pub(crate) fn since(&self) -> Option<Timestamp> {
        let since = self.since.load(Relaxed);
        (since != 0).then(|| Timestamp::from_nanos(since))
    }

    /// Whether an outage has ended at `picked_at` or later.
    pub(crate) fn is_over_since(&self, picked_at: Timestamp) -> bool {
        let ended_at = self.ended_at.load(Relaxed);
        ended_at != 0 && picked_at.as_nanos() <= ended_at
    }

    pub(crate) fn ended(&self, now: Timestamp) {
        self.ended_at.fetch_max(now.as_nanos(), Relaxed);
        self.since.store(0, Relaxed);
    }

    pub(crate) fn note_forgiven(&self, backends: usize, since: Timestamp, now: Timestamp) {
        let millis = u64::try_from(now.saturating_since(since).as_millis()).unwrap_or(MILLIS);
        let add = |word: u64| {
            let backends = (word >> 40)
                .saturating_add(backends as u64)
                .min((1 << 24) - 1);
            Some(backends << 40 | (word & MILLIS).max(millis.min(MILLIS)))
        };
        // The closure always returns a word.
        let _ = self.forgiven.fetch_update(Relaxed, Relaxed, add);
    }

    /// What was forgiven since the last call.
    pub(crate) fn take_forgiven(&self) -> Option<ForgivenEjections> {
        if self.forgiven.load(Relaxed) == 0 {
            return None;
        }
        let word = self.forgiven.swap(0, Relaxed);
        (word != 0).then(|| ForgivenEjections {
            backends: (word >> 40) as u32,
            outage: Duration::from_millis(word & MILLIS),
        })
    }

    /// The time of the last trial, if another one is due at `now`.
    fn due(&self, interval: Duration, now: Timestamp) -> Option<u64> {
        let tried_at = self.tried_at.load(Relaxed);
        let next = Timestamp::from_nanos(tried_at).saturating_add(interval);
        (tried_at == 0 || now >= next).then_some(tried_at)
    }
}

impl Membership {
    /// Whether ejections that an outage caused are forgiven.
    pub(crate) const fn forgives_outages(&self) -> bool {
        self.config.common_outage.is_some()
    }

    /// When the outage that the backends have in common began, if there is one at `now`. O(n).
    pub(super) fn common_outage(&self, now: Timestamp) -> Option<Timestamp> {
        let window = self.config.common_outage?.window;
        let detection = self.config.outlier_detection.as_ref();
        let slots = self.tiers.iter().flat_map(|tier| tier.tier.slots());
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
        self.config.common_outage.is_some_and(|config| {
            outage.since().is_some()
                && outage.due(config.trial_interval, now).is_some()
                && self.common_outage(now).is_some()
        })
    }

    /// Picks a backend although all are ejected, if an outage may be the reason and a trial is due.
    ///
    /// The pick that notices an outage is refused; the first trial comes after one interval.
    #[cold]
    pub(crate) fn pick_trial(
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
            Some(_) if was_known => {}
            Some(since) => outage.since.store(since.as_nanos().max(1), Relaxed),
            None if was_known => outage.since.store(0, Relaxed),
            None => {}
        }
        outage.since()?;
        if was_known && !self.has_untried(request) {
            return None;
        }
        let next = now.as_nanos().max(1);
        outage
            .tried_at
            .compare_exchange(tried_at, next, Relaxed, Relaxed)
            .ok()?;
        if !was_known {
            return None;
        }
        self.tiers.iter().find_map(|tier| {
            let environment = self.environment(tier, generation, now).with_trial();
            let mut cx = PickContext::new(environment, request, rng);
            // A load index leaves out ejected backends.
            tier.pick(&mut cx).or_else(|| {
                let mut indices = tier.tier.indices().filter(|&i| cx.is_eligible(i));
                indices.find_map(|i| acquire(tier.tier.slot(i)?, cx.environment()))
            })
        })
    }

    /// Whether a trial could get a backend that the connection has not failed on.
    fn has_untried(&self, request: &PickRequest<'_>) -> bool {
        let mut slots = self.tiers.iter().flat_map(|tier| tier.tier.slots());
        slots.any(|slot| {
            let state = slot.state();
            state.health() == Health::Healthy
                && !slot.is_full()
                && !request.tried().contains(state.addr())
        })
    }
}
