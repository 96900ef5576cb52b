//! The part of the status about a backend, and the names of its states.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use lb_core::{AdminState, Backend, BackendStatus, ExplainedBackend, Timestamp, Verdict};
use serde::{Deserialize, Serialize};

use super::counters::BackendCountersReport;
use super::server::{as_micros, as_millis, millis};
use crate::balancing::{ActiveOverride, Override};
use crate::health::CheckStatus;

/// A backend of an upstream.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct BackendReport {
    /// The address, or `unix:` and the path.
    pub endpoint: String,
    /// Its name where it was configured or discovered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its failure domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The machine that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Which source reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The weight in force.
    pub weight: u16,
    /// The weight that its source reports.
    pub source_weight: u16,
    /// `ready` or `drain`, in force.
    pub admin: String,
    /// `ready` or `drain`, as its source reports.
    pub source_admin: String,
    /// Its priority; 0 is used first.
    pub priority: u8,
    /// Connections in flight.
    pub in_flight: u32,
    /// The most connections in flight; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_conns: Option<u32>,
    /// `healthy` or `unhealthy`: the result of the last active check; `unchecked` while it waits for its first one.
    pub health: String,
    /// What each health check has decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckStateReport>,
    /// Failures that are not forgiven yet.
    pub fails: u32,
    /// Milliseconds until its ejection ends; absent if it is not ejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejected_ms: Option<u64>,
    /// Why it may or may not be picked by a connection without a hash key; see [`verdicts`](crate::admin).
    pub verdict: String,
    /// Whether its tier ignores health and ejection.
    pub panic: bool,
    /// The percentage of connections that go to its tier first.
    pub tier_percent: u8,
    /// The percentage of its turns that it takes in slow start; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start_percent: Option<u8>,
    /// The decaying peak (peak EWMA) of the times that sessions took to connect, in microseconds. A longer time replaces it
    /// at once; without sessions it falls to 37 % within 10 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_time_peak_ewma_us: Option<u64>,
    /// Milliseconds since it became known.
    pub age_ms: u64,
    /// Whether an override replaces a setting of its source.
    pub overridden: bool,
    /// Its counters, if the server [counts in detail](crate::ProxyBuilder::detailed_metrics); absent before its first
    /// attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<BackendCountersReport>,
}

/// What a health check has decided of a backend.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CheckStateReport {
    /// The name of the check.
    pub check: String,
    /// `up`, `down` or `unchecked`.
    pub state: String,
    /// Milliseconds since it decided so.
    pub since_ms: u64,
    /// What the last probe found that agreed with the state; absent if there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the last probe found: `failed`, `inconclusive` or `passed`; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What the backend answered last, or why the last probe failed; may be empty.
    pub text: String,
    /// How long the last probe took, in microseconds; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
    /// The last probe without a result; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inconclusive: Option<InconclusiveReport>,
}

/// A probe without a result.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct InconclusiveReport {
    /// What the backend answered, or why there was no result; may be empty.
    pub text: String,
    /// Milliseconds since it ended.
    pub age_ms: u64,
}

/// An override of a backend.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct OverrideReport {
    /// The name of the upstream.
    pub upstream: String,
    /// The backend's address, or `unix:` and the path.
    pub backend: String,
    /// `admin`, `max_conns` or `weight`.
    pub setting: String,
    /// The value: `drain`, `ready`, a number, a percentage as `50%`, or `unlimited`.
    pub value: String,
    /// `operator`, `health_check` or `agent_check`.
    pub origin: String,
    /// What set it.
    pub by: String,
    /// When it got this value, in milliseconds since 1970.
    pub since_ms: u64,
    /// Whether no origin of higher precedence replaces it.
    pub in_force: bool,
}

impl BackendReport {
    pub(super) fn of(
        status: &BackendStatus<'_>,
        explained: Option<&ExplainedBackend>,
        source: Option<&Backend>,
        overridden: &HashSet<SocketAddr>,
        checks: Vec<CheckStateReport>,
        counters: Option<BackendCountersReport>,
        now: Timestamp,
    ) -> Self {
        let backend = status.backend;
        let source = source.unwrap_or(backend);
        let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
        Self {
            endpoint: backend.endpoint().to_string(),
            name: text(&backend.name),
            zone: text(&backend.zone),
            node: text(&backend.node),
            source: text(&backend.source),
            weight: backend.weight.get(),
            source_weight: source.weight.get(),
            admin: admin_name(backend.admin).to_owned(),
            source_admin: admin_name(source.admin).to_owned(),
            priority: backend.priority.get(),
            in_flight: status.in_flight,
            max_conns: backend.max_conns.map(std::num::NonZeroU32::get),
            health: status.health.as_str().to_owned(),
            checks,
            fails: status.fails,
            ejected_ms: status
                .ejected_until
                .map(|until| as_millis(since(now, until))),
            verdict: explained
                .map_or("unknown", |explained| explained.verdict.as_str())
                .to_owned(),
            panic: explained.is_some_and(|explained| explained.panic),
            tier_percent: explained.map_or(0, |explained| explained.tier_percent),
            slow_start_percent: explained.and_then(|explained| explained.slow_start_percent),
            connect_time_peak_ewma_us: status.connect_time.map(as_micros),
            age_ms: as_millis(since(status.joined_at, now)),
            overridden: overridden.contains(&backend.addr),
            counters,
        }
    }

    pub(super) fn is_eligible(&self) -> bool {
        self.verdict == Verdict::Eligible.as_str() || self.verdict == Verdict::AboveBound.as_str()
    }
}

impl CheckStateReport {
    pub(in crate::admin) fn of(status: &CheckStatus, now: Timestamp) -> Self {
        let last = status.last.as_ref();
        Self {
            check: (*status.check).to_owned(),
            state: status.state.as_str().to_owned(),
            since_ms: as_millis(since(status.since, now)),
            reason: (*status.reason).to_owned(),
            outcome: last.map(|last| last.outcome.as_str().to_owned()),
            text: last.map_or_else(String::new, |last| (*last.text).to_owned()),
            inconclusive: status
                .last_inconclusive
                .as_ref()
                .map(|last| InconclusiveReport {
                    text: (*last.text).to_owned(),
                    age_ms: as_millis(since(last.at, now)),
                }),
            duration_us: last.map(|last| as_micros(last.duration)),
        }
    }
}

impl OverrideReport {
    pub(super) fn of(upstream: &str, active: &ActiveOverride) -> Self {
        let (setting, value) = setting_value(active.setting);
        Self {
            upstream: upstream.to_owned(),
            backend: active.endpoint.to_string(),
            setting: setting.to_owned(),
            value,
            origin: active.origin.as_str().to_owned(),
            by: (*active.by).to_owned(),
            since_ms: millis(active.since),
            in_force: active.in_force,
        }
    }
}

fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    later.saturating_since(earlier)
}

/// `drain` or `ready`.
pub(crate) fn admin_name(admin: AdminState) -> &'static str {
    match admin {
        AdminState::Drain => "drain",
        _ => "ready",
    }
}

/// The name of the setting, and its value as text.
fn setting_value(setting: Override) -> (&'static str, String) {
    let text = setting.to_string();
    let value = text.rsplit(' ').next().unwrap_or_default().to_owned();
    let name = match setting {
        Override::Admin(_) => "admin",
        Override::MaxConns(_) => "max_conns",
        Override::Weight(_) => "weight",
    };
    (name, value)
}
