//! The parts of the status that a server has which [counts in detail](crate::ProxyBuilder::detailed_metrics).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::reports::{
    AttemptCounts, BackendMetrics, EndCounts, ListenerMetrics, Traffic, UpstreamMetrics,
};

/// The counters of a listener.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ListenerCountersReport {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections that are open now.
    pub active: u64,
    /// Connections that ended, by the [name](crate::events::CloseReason::as_str) of the reason.
    pub ends: BTreeMap<String, u64>,
    /// Bytes from clients to backends, those of open sessions included.
    pub bytes_to_backends: u64,
    /// Bytes from backends to clients, those of open sessions included.
    pub bytes_to_clients: u64,
}

/// The counters of an upstream.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct UpstreamCountersReport {
    /// Sessions that needed a backend.
    pub sessions: u64,
    /// Those that are open now.
    pub active: u64,
    /// Those that ended, by the [name](crate::events::CloseReason::as_str) of the reason.
    pub ends: BTreeMap<String, u64>,
    /// Attempts to connect that did not connect, by outcome.
    pub failures: BTreeMap<String, u64>,
    /// Attempts after a failed attempt of the same session.
    pub retries: u64,
    /// Failures that ejected a backend.
    pub ejections: u64,
    /// Bytes to backends, those of open sessions included.
    pub bytes_to_backends: u64,
    /// Bytes to clients, those of open sessions included.
    pub bytes_to_clients: u64,
}

/// The counters of a backend.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct BackendCountersReport {
    /// Sessions that were connected to it.
    pub sessions: u64,
    /// Those that are open now.
    pub active: u64,
    /// Attempts to connect that did not connect, by outcome.
    pub failures: BTreeMap<String, u64>,
    /// Sessions that it reset.
    pub resets: u64,
    /// Failures that ejected it.
    pub ejections: u64,
    /// Bytes from clients, those of open sessions included.
    pub bytes_to_backend: u64,
    /// Bytes to clients, those of open sessions included.
    pub bytes_to_client: u64,
}

impl From<&ListenerMetrics> for ListenerCountersReport {
    fn from(counted: &ListenerMetrics) -> Self {
        let Traffic {
            to_backends,
            to_clients,
        } = counted.traffic;
        Self {
            accepted: counted.accepted,
            active: counted.active,
            ends: ends(&counted.ended),
            bytes_to_backends: to_backends,
            bytes_to_clients: to_clients,
        }
    }
}

impl From<&UpstreamMetrics> for UpstreamCountersReport {
    fn from(counted: &UpstreamMetrics) -> Self {
        Self {
            sessions: counted.sessions,
            active: counted.active,
            ends: ends(&counted.ended),
            failures: failures(&counted.attempts),
            retries: counted.retries,
            ejections: counted.ejections,
            bytes_to_backends: counted.traffic.to_backends,
            bytes_to_clients: counted.traffic.to_clients,
        }
    }
}

impl From<&BackendMetrics> for BackendCountersReport {
    fn from(counted: &BackendMetrics) -> Self {
        Self {
            sessions: counted.attempts.connected,
            active: counted.active,
            failures: failures(&counted.attempts),
            resets: counted.resets,
            ejections: counted.ejections,
            bytes_to_backend: counted.traffic.to_backends,
            bytes_to_client: counted.traffic.to_clients,
        }
    }
}

/// The reasons that occurred.
fn ends(counts: &EndCounts) -> BTreeMap<String, u64> {
    let named = counts
        .iter()
        .map(|(reason, count)| (reason.as_str(), count));
    occurred(named)
}

/// The outcomes that occurred, without those that connected.
fn failures(counts: &AttemptCounts) -> BTreeMap<String, u64> {
    let mut failures = occurred(counts.iter());
    failures.remove("connected");
    failures
}

fn occurred(counts: impl IntoIterator<Item = (&'static str, u64)>) -> BTreeMap<String, u64> {
    let occurred = counts.into_iter().filter(|(_, count)| *count > 0);
    let named = occurred.map(|(name, count)| (name.to_owned(), count));
    named.collect()
}
