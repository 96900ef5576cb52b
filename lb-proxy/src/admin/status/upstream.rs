//! The parts of the status about an upstream and its sources.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

use lb_core::{BackendSet, Timestamp};
use lb_discovery::SourceStatus;
use serde::{Deserialize, Serialize};

use super::backend::{BackendReport, CheckStateReport};
use super::counters::{BackendCountersReport, UpstreamCountersReport};
use super::server::as_millis;
use super::transition::TransitionReport;
use crate::Upstream;
use crate::balancing::ActiveOverride;
use crate::reports::UpstreamMetrics;

/// An upstream.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct UpstreamReport {
    /// Its name.
    pub name: String,
    /// The 16 hexadecimal digits of its set's digest: replicas with equal digests have the same backends with the same
    /// weights, names, priorities, limits and administrative states.
    #[serde(default)]
    pub digest: String,
    /// The name of its policy, such as `weighted_round_robin`; as in the metric `lb_upstream_info`.
    pub policy: String,
    /// The settings of the policy by name; absent for policies without settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policy_settings: BTreeMap<String, String>,
    /// Whether its first membership is known.
    pub ready: bool,
    /// Whether a tier ignores health and ejection.
    pub panic: bool,
    /// Connections in flight to its backends.
    pub in_flight: u64,
    /// The tiers in the order of priority.
    pub tiers: Vec<TierReport>,
    /// Its wait queue.
    pub queue: QueueReport,
    /// Its backends in the order of their sources.
    pub backends: Vec<BackendReport>,
    /// Its sources in the order of the configuration.
    pub sources: Vec<SourceReport>,
    /// The last ejections and changes of health of its backends, the oldest first.
    #[serde(default)]
    pub transitions: Vec<TransitionReport>,
    /// Its counters, if the server [counts in detail](crate::ProxyBuilder::detailed_metrics).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<UpstreamCountersReport>,
}

/// The backends of one priority.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TierReport {
    /// The priority; 0 is used first.
    pub priority: u8,
    /// How many backends it has.
    pub backends: usize,
    /// How many of them could be picked now.
    pub eligible: usize,
    /// Whether it ignores health and ejection.
    pub panic: bool,
    /// The policy's digest, 16 hexadecimal digits: replicas with equal digests send every key to the same backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// A wait queue.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct QueueReport {
    /// Connections that wait.
    pub waiting: usize,
    /// How many may wait; 0 without a queue.
    pub capacity: usize,
}

/// A source of backends.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SourceReport {
    /// Its label.
    pub name: String,
    /// Backends in its current set.
    pub backends: usize,
    /// Milliseconds since its last set, or since an answer that there is nothing emptied its set; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Milliseconds since it fails; absent while it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_ms: Option<u64>,
    /// Whether the set is that of a saved state, which no answer has replaced yet; absent otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored: bool,
    /// Milliseconds until its driver asks it again, after the end of the last watch; absent while a watch is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_ms: Option<u64>,
    /// Whether its set was dropped because it was stale for too long.
    pub expired: bool,
    /// Why the last attempt failed, or why there are no backends; absent from the next set on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Failed attempts.
    pub failures: u64,
    /// Sets that it has yielded.
    pub updates: u64,
}

impl UpstreamReport {
    pub(super) fn of(
        upstream: &Upstream,
        overrides: &[ActiveOverride],
        counted: Option<&UpstreamMetrics>,
    ) -> Self {
        let set = upstream.backends();
        let backends = backends(upstream, &set, overrides, counted);
        let tiers = tiers(upstream, &backends);
        Self {
            name: upstream.name().to_owned(),
            digest: format!("{:016x}", set.digest()),
            policy: upstream.policy_name().to_owned(),
            policy_settings: upstream
                .policy_settings()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            ready: upstream.is_ready(),
            panic: tiers.iter().any(|tier| tier.panic),
            in_flight: backends.iter().map(|b| u64::from(b.in_flight)).sum(),
            tiers,
            queue: QueueReport {
                waiting: upstream.queued(),
                capacity: upstream.queue_capacity(),
            },
            backends,
            sources: upstream
                .discovery()
                .sources
                .iter()
                .map(SourceReport::of)
                .collect(),
            transitions: upstream
                .transitions()
                .iter()
                .map(TransitionReport::of)
                .collect(),
            counters: counted.map(Into::into),
        }
    }
}

/// The backends of `set`, in its order.
fn backends(
    upstream: &Upstream,
    set: &BackendSet,
    overrides: &[ActiveOverride],
    counted: Option<&UpstreamMetrics>,
) -> Vec<BackendReport> {
    let now = upstream.now();
    // `None` before the first membership, which has no backends.
    let explanation = upstream.explain(&[]).ok();
    let explained = explanation.iter().flat_map(|all| &all.backends);
    let explained: Vec<_> = explained.collect();
    let discovered = upstream.discovered();
    let overridden: HashSet<SocketAddr> = overrides.iter().map(|o| o.addr).collect();
    let mut checks = checks(upstream, now);
    let counters = |addr| {
        // In the order of the addresses.
        let backends = &counted?.backends;
        let at = backends.binary_search_by_key(&addr, |backend| backend.backend.key());
        Some(BackendCountersReport::from(&backends[at.ok()?]))
    };
    let status = set.status(now).enumerate();
    let backends = status.map(|(i, status)| {
        let addr = status.backend.addr;
        // The membership may have changed between the two calls.
        let explained = explained
            .get(i)
            .filter(|explained| explained.backend.addr == addr)
            .copied();
        // Overrides keep the order of the sources.
        let source = discovered.iter().nth(i).filter(|b| b.addr == addr);
        let source = source.or_else(|| discovered.find(addr));
        let checks = checks.remove(&addr).unwrap_or_default();
        let counters = counters(addr);
        BackendReport::of(
            &status,
            explained,
            source,
            &overridden,
            checks,
            counters,
            now,
        )
    });
    backends.collect()
}

/// The states of all checks, by backend.
fn checks(upstream: &Upstream, now: Timestamp) -> HashMap<SocketAddr, Vec<CheckStateReport>> {
    let mut checks: HashMap<_, Vec<_>> = HashMap::new();
    for check in upstream.health_checks() {
        let of = checks.entry(check.backend.addr).or_default();
        of.push(CheckStateReport::of(&check, now));
    }
    checks
}

fn tiers(upstream: &Upstream, backends: &[BackendReport]) -> Vec<TierReport> {
    let mut tiers: Vec<TierReport> = Vec::new();
    for backend in backends {
        let at = tiers.binary_search_by_key(&backend.priority, |tier| tier.priority);
        let at = at.unwrap_or_else(|at| {
            let new = TierReport {
                priority: backend.priority,
                backends: 0,
                eligible: 0,
                panic: false,
                digest: None,
            };
            tiers.insert(at, new);
            at
        });
        let tier = &mut tiers[at];
        tier.backends += 1;
        tier.eligible += usize::from(backend.is_eligible());
        tier.panic |= backend.panic;
    }
    for (priority, digest) in upstream.digests() {
        let of = tiers.iter_mut().find(|t| t.priority == priority.get());
        if let Some(tier) = of {
            tier.digest.get_or_insert_with(|| format!("{digest:016x}"));
        }
    }
    tiers
}

impl SourceReport {
    fn of(status: &SourceStatus) -> Self {
        Self {
            name: (*status.label).to_owned(),
            backends: status.backends,
            age_ms: status.last_success.map(as_millis),
            stale_ms: status.stale_for.map(as_millis),
            restored: status.is_restored,
            next_attempt_ms: status.next_attempt.map(as_millis),
            expired: status.expired,
            last_error: status.last_error.as_deref().map(str::to_owned),
            failures: status.failures,
            updates: status.updates,
        }
    }
}
