//! The status of checks.

use std::sync::Arc;
use std::time::Duration;

use lb_core::{Backend, Timestamp};

/// The status of one check of one backend. As data, [`Timestamp`]s are nanoseconds and durations seconds.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct CheckStatus {
    /// The backend, as its source reports it.
    pub backend: Arc<Backend>,
    /// The [name](super::CheckSettings::name) of the check, unique in its upstream.
    pub check: Arc<str>,
    /// What the check has decided.
    pub state: CheckState,
    /// Since when, in the time of [`Upstream::now`](crate::Upstream::now).
    pub since: Timestamp,
    /// How many results in a row equalled the last one.
    pub consecutive: u32,
    /// The last probe that ended.
    pub last: Option<LastProbe>,
    /// What the last probe found that agreed with the state; empty if there is nothing to say. Probes without a result do not
    /// replace it.
    pub reason: Arc<str>,
    /// The last probe without a result.
    pub last_inconclusive: Option<LastProbe>,
    /// How often it went from up to down or back.
    pub transitions: u64,
    /// Probes that ended, those without a result included.
    pub probes: u64,
    /// Probes that failed.
    pub failures: u64,
    /// Probes without a result, because this machine could not make them or the backend stated nothing.
    pub inconclusive: u64,
}

/// What a check has decided of a backend.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CheckState {
    /// It does not work.
    Down,
    /// Nothing yet: [`InitialState`](super::InitialState) says whether it gets connections.
    Unchecked,
    /// It works.
    Up,
}

crate::names::names!(CheckState {
    Down = "down",
    Unchecked = "unchecked",
    Up = "up",
});

crate::names::names!(ProbeOutcome {
    Failed = "failed",
    Inconclusive = "inconclusive",
    Passed = "passed",
});

/// A probe that ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LastProbe {
    /// What it found.
    pub outcome: ProbeOutcome,
    /// What the backend answered or why the probe failed, at most 200 bytes and escaped. Empty if there is nothing to say.
    pub text: Arc<str>,
    /// When it ended, in the time of [`Upstream::now`](crate::Upstream::now).
    pub at: Timestamp,
    /// How long it took.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::seconds")
    )]
    pub duration: Duration,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ProbeOutcome {
    /// The backend does not work.
    Failed,
    /// Nothing: this machine could not make the probe, or the backend stated nothing.
    Inconclusive,
    /// The backend works.
    Passed,
}
