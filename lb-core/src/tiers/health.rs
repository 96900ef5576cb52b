//! How healthy the tiers are, and what follows: who gets which share, and who panics.
//!
//! The formulas are Envoy's (`load_balancer_impl.cc`, "Priority levels" and "Panic threshold" of its documentation):
//!
//! - the health of a priority is `min(100 %, overprovisioning * healthy share)`;
//! - the first priority gets its health as share of the connections, the next at most its own of what is left, and so
//!   on; where all together stay below 100 % they are scaled up to it;
//! - a priority panics if its healthy share is below the threshold and all together are below 100 %;
//! - where all panic and share, each gets connections by the number of its backends.
//!
//! Healthy means neither ejected nor found unhealthy; being full does not count. Nothing runs in the background: a pick
//! works it out anew, O(n), after a backend was ejected, forgiven or found healthy or not, and when an ejection has
//! ended.

use std::ops::Range;

use crate::config::BalancerConfig;
use crate::membership::compiled::Level;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use crate::time::Timestamp;

/// A whole share.
pub(crate) const WHOLE: u32 = 10_000;

/// Of one level.
#[derive(Debug)]
pub(crate) struct Vitals {
    healthy: AtomicU32,
    weight: AtomicU64,
    share: AtomicU32,
    panics: AtomicBool,
}

impl Vitals {
    pub(crate) fn new() -> Self {
        Self {
            healthy: AtomicU32::new(0),
            weight: AtomicU64::new(0),
            share: AtomicU32::new(0),
            panics: AtomicBool::new(false),
        }
    }

    /// The weight of the healthy.
    pub(crate) fn weight(&self) -> u64 {
        self.weight.load(Relaxed)
    }

    /// What the level gets of all connections, in parts of [`WHOLE`].
    pub(crate) fn share(&self) -> u32 {
        self.share.load(Relaxed)
    }

    /// Whether health and ejection are ignored.
    pub(crate) fn panics(&self) -> bool {
        self.panics.load(Relaxed)
    }
}

/// For which moments the vitals hold.
#[derive(Debug)]
pub(crate) struct Checked {
    generation: AtomicU64,
    since: AtomicU64,
    until: AtomicU64,
    checking: AtomicBool,
}

impl Checked {
    pub(crate) fn new() -> Self {
        Self {
            generation: AtomicU64::new(0),
            since: AtomicU64::new(u64::MAX),
            until: AtomicU64::new(0),
            checking: AtomicBool::new(false),
        }
    }

    /// When they were worked out last.
    pub(crate) fn since(&self) -> Option<Timestamp> {
        let since = self.since.load(Relaxed);
        (since != u64::MAX).then(|| Timestamp::from_nanos(since))
    }

    /// Whether they hold at `now`; then whoever asks sees them.
    pub(crate) fn holds(&self, generation: u64, now: Timestamp) -> bool {
        let (since, until) = (self.since.load(Acquire), self.until.load(Acquire));
        self.generation.load(Acquire) == generation && (since..until).contains(&now.as_nanos())
    }

    /// False while somebody else is working them out.
    pub(crate) fn begin(&self) -> bool {
        let begun = self
            .checking
            .compare_exchange(false, true, Acquire, Relaxed);
        begun.is_ok()
    }

    pub(crate) fn end(&self, generation: u64, since: Timestamp, until: Timestamp) {
        self.generation.store(generation, Release);
        self.since.store(since.as_nanos(), Release);
        self.until.store(until.as_nanos(), Release);
        self.checking.store(false, Release);
    }
}

/// Works out the vitals of all levels at `now`, and until when they hold if nothing changes.
#[cold]
pub(crate) fn check(config: &BalancerConfig, levels: &[Level], now: Timestamp) -> Timestamp {
    let mut until = Timestamp::from_nanos(u64::MAX);
    for level in levels {
        let (mut healthy, mut weight) = (0, 0);
        for slot in level.tier.slots() {
            if slot.is_fit(now) {
                healthy += 1;
                weight += u64::from(slot.weight());
            } else if let Some(end) = slot.state().ejected_until(now) {
                // A limit's ejection lasts through the moment of its end.
                until = until.min(Timestamp::from_nanos(end.as_nanos().saturating_add(1)));
            }
        }
        level.vitals.healthy.store(healthy, Relaxed);
        level.vitals.weight.store(weight, Relaxed);
    }
    let health = |group: &Range<usize>| health(config, numbers(&levels[group.clone()]));
    let total = groups(levels)
        .map(|group| health(&group))
        .fold(0, u32::saturating_add);
    let panics = |group: &Range<usize>| panics(config, total, numbers(&levels[group.clone()]));
    let all_panic = groups(levels).all(|group| panics(&group));
    let (_, everybody) = numbers(levels);
    let mut left = WHOLE;
    for group in groups(levels) {
        let (healthy, all) = numbers(&levels[group.clone()]);
        let share = if config.overprovisioning.is_some() && all_panic {
            (u64::from(all) * u64::from(WHOLE) / u64::from(everybody.max(1))) as u32
        } else if config.overprovisioning.is_none() {
            // Strictly one after the other.
            if healthy > 0 { left } else { 0 }
        } else if total >= WHOLE {
            health(&group).min(left)
        } else {
            (u64::from(health(&group)) * u64::from(WHOLE) / u64::from(total.max(1))) as u32
        };
        left -= share.min(left);
        let panics = panics(&group);
        divide(config, &levels[group], share, panics);
    }
    until
}

/// Whether the priority of the level at `at` panics, worked out for one pick and noted nowhere. O(n).
#[cold]
pub(crate) fn panics_at(
    config: &BalancerConfig,
    levels: &[Level],
    at: usize,
    now: Timestamp,
) -> bool {
    let numbers = |group: Range<usize>| {
        let slots = levels[group].iter().flat_map(|level| level.tier.slots());
        slots.fold((0, 0), |(healthy, all), slot| {
            (healthy + u32::from(slot.is_fit(now)), all + 1)
        })
    };
    let total = groups(levels)
        .map(|group| health(config, numbers(group)))
        .fold(0, u32::saturating_add);
    let mut groups = groups(levels);
    let own = groups.find(|group| group.contains(&at));
    own.is_some_and(|group| panics(config, total, numbers(group)))
}

/// The health of a priority of so many backends, in parts of [`WHOLE`].
fn health(config: &BalancerConfig, (healthy, all): (u32, u32)) -> u32 {
    let factor = u64::from(config.overprovisioning.unwrap_or(100));
    let scaled = u64::from(healthy) * factor * u64::from(WHOLE / 100) / u64::from(all.max(1));
    scaled.min(WHOLE.into()) as u32
}

/// Whether a priority of so many backends panics where the health of all is `total`.
fn panics(config: &BalancerConfig, total: u32, (healthy, all): (u32, u32)) -> bool {
    let threshold = config.panic_threshold.unwrap_or(0);
    total < WHOLE && u64::from(healthy) * 100 < u64::from(threshold) * u64::from(all)
}

/// Gives the levels of one priority their parts of its share.
fn divide(config: &BalancerConfig, levels: &[Level], share: u32, panics: bool) {
    let of = |near: bool| {
        let levels = levels
            .iter()
            .filter(move |level| level.tier.is_near() == near);
        numbers(levels)
    };
    let near = config.zone.as_ref().map_or(0, |zone| {
        let ((healthy, near), (_, far)) = (of(true), of(false));
        zone.near_part(healthy, near, far, share)
    });
    for level in levels {
        let part = if level.tier.is_near() {
            near
        } else {
            share - near
        };
        level.vitals.share.store(part, Relaxed);
        level.vitals.panics.store(panics, Relaxed);
    }
}

/// How many of the backends of `levels` are healthy, and how many there are.
fn numbers<'a>(levels: impl IntoIterator<Item = &'a Level>) -> (u32, u32) {
    levels.into_iter().fold((0, 0), |(healthy, all), level| {
        let more = level.vitals.healthy.load(Relaxed);
        (healthy + more, all + level.tier.len().get())
    })
}

/// The levels of each priority, by place.
fn groups(levels: &[Level]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let priority = levels.get(start)?.tier.priority();
        let same = levels[start..]
            .iter()
            .take_while(|l| l.tier.priority() == priority);
        let group = start..start + same.count();
        start = group.end;
        Some(group)
    })
}
