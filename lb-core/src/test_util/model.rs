//! The expected result of a pick, computed from the public status instead of by the balancer's own checks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::step_rng::StepRng;
use crate::backend::Health;
use crate::backend::Priority;
use crate::balancer::Balancer;
use crate::config::BalancerConfig;
use crate::membership::set::BackendStatus;
use crate::membership::verdict::Verdict;
use crate::pick::request::{PickRequest, Tried};
use crate::time::Timestamp;

/// Which backends may be picked, and which priority comes first.
pub(crate) struct Model {
    /// The eligible backends.
    pub(crate) eligible: BTreeSet<(Priority, SocketAddr)>,
    /// The priority that must be picked, unless several share the connections.
    pub(crate) first: Option<Priority>,
    /// Whether there is a backend that takes connections.
    pub(crate) empty: bool,
}

/// One priority's backends.
#[derive(Default)]
struct Group {
    healthy: u64,
    all: u64,
}

impl Model {
    pub(crate) fn new(
        balancer: &Balancer,
        config: &BalancerConfig,
        tried: &Tried,
        now: Timestamp,
    ) -> Self {
        let outside = not_in_subset(balancer, now);
        let set = balancer.set();
        let in_tiers = || {
            set.status(now)
                .filter(|status| status.backend.takes_connections())
                .filter(|status| !outside.contains(&status.backend.addr))
        };
        let mut groups: BTreeMap<Priority, Group> = BTreeMap::new();
        for status in in_tiers() {
            let group = groups.entry(status.backend.priority).or_default();
            group.healthy += u64::from(is_healthy(&status));
            group.all += 1;
        }
        let factor = u64::from(config.overprovisioning.unwrap_or(100));
        // In hundredths of a percent, rounded down.
        let health = |group: &Group| (group.healthy * factor * 100 / group.all).min(10_000);
        let suffices = groups.values().map(health).sum::<u64>() >= 10_000;
        let threshold = u64::from(config.panic_threshold.unwrap_or(0));
        let panics = |priority: Priority| {
            let group = &groups[&priority];
            !suffices && group.healthy * 100 < threshold * group.all
        };
        let eligible: BTreeSet<_> = in_tiers()
            .filter(|status| is_healthy(status) || panics(status.backend.priority))
            .filter(|status| {
                let max = status.backend.max_conns.map_or(u32::MAX, NonZeroU32::get);
                status.in_flight < max
            })
            .map(|status| (status.backend.priority, status.backend.addr))
            .filter(|(_, addr)| !tried.contains(*addr))
            .collect();
        let shared = config.overprovisioning.is_some()
            || config.zone.is_some() && config.panic_threshold.is_some();
        let best = groups.iter().find(|(_, group)| group.healthy > 0);
        let best = best.map(|(priority, _)| *priority);
        let can = |priority: &Priority| eligible.iter().any(|(found, _)| found == priority);
        let least = eligible.first().map(|(priority, _)| *priority);
        Self {
            first: best.filter(can).or(least).filter(|_| !shared),
            empty: groups.is_empty(),
            eligible,
        }
    }
}

fn is_healthy(status: &BackendStatus<'_>) -> bool {
    status.health == Health::Healthy && status.ejected_until.is_none()
}

/// Which backends are not in the subset; the tests of subsets check the choice itself.
fn not_in_subset(balancer: &Balancer, now: Timestamp) -> BTreeSet<SocketAddr> {
    let tried = Tried::new();
    let explained = balancer.explain(&PickRequest::new(&tried), now, &mut StepRng::new(0, 0));
    let backends = explained
        .into_iter()
        .flat_map(|explained| explained.backends);
    backends
        .filter(|explained| explained.verdict == Verdict::NotInSubset)
        .map(|explained| explained.backend.addr)
        .collect()
}
