//! Tier health: how many backends of each tier are healthy, and what share of the connections and panic follow.
//!
//! Healthy means neither ejected nor found unhealthy; a full backend is healthy. Nothing runs in the background. A pick
//! recomputes tier health, O(n), after the standing of a backend changed, and when an ejection has ended. One thread
//! recomputes at a time; concurrent picks use the previous values, because a mix of two passes would be inconsistent.
//! [`spill`] has the formulas.

use super::spill::{self, Count};
use super::tier::Tier;
use crate::config::BalancerConfig;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use crate::time::Timestamp;

/// The health of one tier.
#[derive(Debug)]
pub(crate) struct TierHealth {
    /// How many backends are healthy.
    healthy: AtomicU32,
    weight: AtomicU64,
    share: AtomicU32,
    panics: AtomicBool,
}

impl TierHealth {
    pub(super) fn new() -> Self {
        Self {
            healthy: AtomicU32::new(0),
            weight: AtomicU64::new(0),
            share: AtomicU32::new(0),
            panics: AtomicBool::new(false),
        }
    }

    /// The weight of the healthy backends.
    pub(crate) fn weight(&self) -> u64 {
        self.weight.load(Relaxed)
    }

    /// The tier's share of all connections, in parts of [`WHOLE`](super::spill::WHOLE).
    pub(crate) fn share(&self) -> u32 {
        self.share.load(Relaxed)
    }

    /// Whether health and ejection are ignored.
    pub(crate) fn panics(&self) -> bool {
        self.panics.load(Relaxed)
    }
}

/// When tier health was computed, and until when it holds.
#[derive(Debug)]
pub(crate) struct Validity {
    generation: AtomicU64,
    since: AtomicU64,
    until: AtomicU64,
    /// Whether a thread is recomputing it.
    is_locked: AtomicBool,
}

impl Validity {
    pub(crate) fn new() -> Self {
        Self {
            generation: AtomicU64::new(0),
            since: AtomicU64::new(u64::MAX),
            until: AtomicU64::new(0),
            is_locked: AtomicBool::new(false),
        }
    }

    /// When tier health was computed last, if it was.
    pub(crate) fn since(&self) -> Option<Timestamp> {
        let since = self.since.load(Relaxed);
        (since != u64::MAX).then(|| Timestamp::from_nanos(since))
    }

    /// Whether tier health holds at `now`.
    ///
    /// Acquire: each load pairs with the Release store of the same word in `finish`. A thread that reads one of them
    /// reads the tier health that was stored before. Model `a_thread_that_causes_a_panic_gets_a_backend_in_it` fails
    /// without it.
    pub(crate) fn holds(&self, generation: u64, now: Timestamp) -> bool {
        let (since, until) = (self.since.load(Acquire), self.until.load(Acquire));
        self.generation.load(Acquire) == generation && (since..until).contains(&now.as_nanos())
    }

    /// Whether this thread shall recompute: false while another one does.
    ///
    /// Acquire: pairs with the Release store of `is_locked` in `finish`.
    pub(crate) fn begin(&self) -> bool {
        let begun = self
            .is_locked
            .compare_exchange(false, true, Acquire, Relaxed);
        begun.is_ok()
    }

    pub(crate) fn finish(&self, generation: u64, since: Timestamp, until: Timestamp) {
        self.generation.store(generation, Release);
        self.since.store(since.as_nanos(), Release);
        self.until.store(until.as_nanos(), Release);
        self.is_locked.store(false, Release);
    }
}

/// Recomputes the health of all tiers at `now`. Returns until when it holds if no standing changes.
#[cold]
pub(crate) fn recompute<T: AsRef<Tier>>(
    config: &BalancerConfig,
    tiers: &[T],
    now: Timestamp,
) -> Timestamp {
    let mut until = Timestamp::from_nanos(u64::MAX);
    for tier in tiers {
        let tier = tier.as_ref();
        let (mut healthy, mut weight) = (0, 0);
        for slot in tier.slots() {
            if slot.is_healthy(now) {
                healthy += 1;
                weight += u64::from(slot.weight());
            } else if let Some(end) = slot.state().ejected_until(now) {
                // An ejection by a fail limit lasts through the moment of its end.
                until = until.min(Timestamp::from_nanos(end.as_nanos().saturating_add(1)));
            }
        }
        tier.health().healthy.store(healthy, Relaxed);
        tier.health().weight.store(weight, Relaxed);
    }
    let count = |tier: &Tier| Count {
        healthy: tier.health().healthy.load(Relaxed),
        all: tier.len().get(),
    };
    spill::shares(config, tiers, count, |tier, share, panics| {
        tier.health().share.store(share, Relaxed);
        tier.health().panics.store(panics, Relaxed);
    });
    until
}

/// Whether the priority of tier number `at` panics, computed for one pick and stored nowhere. O(n).
#[cold]
pub(crate) fn panics_at<T: AsRef<Tier>>(
    config: &BalancerConfig,
    tiers: &[T],
    at: usize,
    now: Timestamp,
) -> bool {
    spill::panics_at(config, tiers, at, |tier| {
        let healthy = tier.slots().iter().filter(|slot| slot.is_healthy(now));
        Count {
            healthy: healthy.count() as u32,
            all: tier.len().get(),
        }
    })
}
