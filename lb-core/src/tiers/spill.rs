//! Spill and panic: from the healthy backends of each priority to its share of the connections.
//!
//! The formulas are Envoy's (`load_balancer_impl.cc`, "Priority levels" and "Panic threshold" of its documentation):
//!
//! - the health of a priority is `min(100 %, overprovisioning * healthy share)`;
//! - the first priority gets its health as share of the connections, the next at most its own of what is left, and so
//!   on; where all together stay below 100 % they are scaled up to it;
//! - a priority panics if its healthy share is below the threshold and all together are below 100 %;
//! - where all priorities panic and `overprovisioning` is set, each gets connections by the number of its backends.
//!
//! The share of a priority is divided between the preferred zone and the others as [`zone`](super::zone) says.

use std::iter::Sum;
use std::ops::Range;

use super::tier::Tier;
use crate::config::BalancerConfig;

/// A whole share.
pub(super) const WHOLE: u32 = 10_000;

/// How many backends there are, and how many of them are healthy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) healthy: u32,
    pub(super) all: u32,
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, count| Self {
            healthy: sum.healthy + count.healthy,
            all: sum.all + count.all,
        })
    }
}

/// Computes the share of each tier, in parts of [`WHOLE`], and whether it panics, and passes both to `store`.
pub(super) fn shares<T: AsRef<Tier>>(
    config: &BalancerConfig,
    tiers: &[T],
    count: impl Fn(&Tier) -> Count,
    store: impl Fn(&Tier, u32, bool),
) {
    let count_of = |tiers: &[T]| tiers.iter().map(|tier| count(tier.as_ref())).sum();
    let health = |group: &Range<usize>| health(config, count_of(&tiers[group.clone()]));
    let total = priorities(tiers)
        .map(|group| health(&group))
        .fold(0, u32::saturating_add);
    let panics = |group: &Range<usize>| panics(config, total, count_of(&tiers[group.clone()]));
    let all_panic = priorities(tiers).all(|group| panics(&group));
    let backends: Count = count_of(tiers);
    let mut left = WHOLE;
    for group in priorities(tiers) {
        let Count { healthy, all } = count_of(&tiers[group.clone()]);
        let share = if config.overprovisioning.is_some() && all_panic {
            (u64::from(all) * u64::from(WHOLE) / u64::from(backends.all.max(1))) as u32
        } else if config.overprovisioning.is_none() {
            // Strictly in order: the first priority that has a healthy backend gets all.
            if healthy > 0 { left } else { 0 }
        } else if total >= WHOLE {
            health(&group).min(left)
        } else {
            (u64::from(health(&group)) * u64::from(WHOLE) / u64::from(total.max(1))) as u32
        };
        left -= share.min(left);
        let panics = panics(&group);
        let tiers = &tiers[group];
        let near_share = near_share(config, tiers, &count, share);
        for tier in tiers {
            let tier = tier.as_ref();
            let share = if tier.is_near() {
                near_share
            } else {
                share - near_share
            };
            store(tier, share, panics);
        }
    }
}

/// Whether the priority of tier number `at` panics.
pub(super) fn panics_at<T: AsRef<Tier>>(
    config: &BalancerConfig,
    tiers: &[T],
    at: usize,
    count: impl Fn(&Tier) -> Count,
) -> bool {
    let count_of = |group: Range<usize>| tiers[group].iter().map(|t| count(t.as_ref())).sum();
    let total = priorities(tiers)
        .map(|group| health(config, count_of(group)))
        .fold(0, u32::saturating_add);
    let mut priorities = priorities(tiers);
    let own = priorities.find(|group| group.contains(&at));
    own.is_some_and(|group| panics(config, total, count_of(group)))
}

/// The health of a priority, in parts of [`WHOLE`].
fn health(config: &BalancerConfig, count: Count) -> u32 {
    let factor = u64::from(config.overprovisioning.unwrap_or(100));
    let scaled = u64::from(count.healthy) * factor * u64::from(WHOLE / 100);
    (scaled / u64::from(count.all.max(1))).min(WHOLE.into()) as u32
}

/// Whether a priority panics where the health of all together is `total`.
fn panics(config: &BalancerConfig, total: u32, count: Count) -> bool {
    let threshold = config.panic_threshold.unwrap_or(0);
    total < WHOLE && u64::from(count.healthy) * 100 < u64::from(threshold) * u64::from(count.all)
}

/// The part of the share of one priority that its tier of the preferred zone gets.
fn near_share<T: AsRef<Tier>>(
    config: &BalancerConfig,
    tiers: &[T],
    count: impl Fn(&Tier) -> Count,
    share: u32,
) -> u32 {
    let count_of = |near: bool| -> Count {
        let tiers = tiers.iter().map(AsRef::as_ref);
        tiers
            .filter(|tier| tier.is_near() == near)
            .map(&count)
            .sum()
    };
    config.zone.as_ref().map_or(0, |zone| {
        let (near, far) = (count_of(true), count_of(false));
        zone.near_part(near.healthy, near.all, far.all, share)
    })
}

/// The tiers of each priority, by number.
fn priorities<T: AsRef<Tier>>(tiers: &[T]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let priority = tiers.get(start)?.as_ref().priority();
        let same = tiers[start..]
            .iter()
            .take_while(|tier| tier.as_ref().priority() == priority);
        let group = start..start + same.count();
        start = group.end;
        Some(group)
    })
}
