//! The parts of the status about the process.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::counters::ListenerCountersReport;

/// The process and its totals.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ServerReport {
    /// The program's name.
    pub program: String,
    /// The program's version.
    pub program_version: String,
    /// The process id.
    pub pid: u32,
    /// When the server was bound, in milliseconds since 1970.
    pub started_ms: u64,
    /// `starting`, `serving`, `leaving`, `draining`, `closing` or `ended`.
    pub phase: String,
    /// Whether it should get new connections: every reason is met, but for `publication`, which is only shown.
    pub ready: bool,
    /// What readiness takes.
    pub reasons: Vec<ReadinessReason>,
    /// How the descriptors of the process are divided.
    pub descriptors: DescriptorsReport,
    /// The limit on open sessions of the configuration; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_limit: Option<u64>,
    /// The log level, if the program reports one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<String>,
    /// What has set the log level, if an operator has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level_by: Option<String>,
    /// The counters of [`Metrics`](crate::Metrics) by name.
    pub totals: BTreeMap<String, u64>,
}

/// A condition of readiness.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReadinessReason {
    /// The [name](crate::reports::ReadinessCheck::as_str) of the condition.
    pub check: String,
    /// Whether it is met.
    pub ok: bool,
    /// What is missing, or what is there.
    pub detail: String,
}

/// How the descriptors of the process are divided.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DescriptorsReport {
    /// The limit of the process; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Descriptors in use without sessions.
    pub in_use: u64,
    /// Descriptors that are reserved for everything but sessions.
    pub reserve: u64,
    /// Sessions that fit; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
}

/// A listener.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ListenerReport {
    /// The address, or `unix:` and the path.
    pub endpoint: String,
    /// The upstream that it sends connections to by default.
    pub upstream: String,
    /// Its counters, if the server [counts in detail](crate::ProxyBuilder::detailed_metrics).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<ListenerCountersReport>,
}

/// A reload.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ReloadEntry {
    /// When it ended, in milliseconds since 1970.
    pub time_ms: u64,
    /// Whether it was applied.
    pub applied: bool,
    /// What it changed, or why it failed.
    pub detail: String,
}

/// Milliseconds since 1970. Zero before.
pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    as_millis(since.unwrap_or_default())
}

/// Whole milliseconds.
pub(crate) fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole microseconds.
pub(crate) fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
