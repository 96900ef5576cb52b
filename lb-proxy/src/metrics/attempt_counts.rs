//! Counts of attempts to connect, by outcome.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::failures::kind::ConnectFailure;

/// How an attempt to connect ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AttemptEnd {
    /// The client went away, or the server was shut down.
    Abandoned,
    Connected,
    Failed(ConnectFailure),
}

const OUTCOMES: usize = 7;

/// How many attempts to connect ended, by outcome.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AttemptCounts {
    /// The client went away during the attempt, or the server was shut down.
    pub abandoned: u64,
    /// The backend accepted the connection.
    pub connected: u64,
    /// The backend refused, reset or could not be reached.
    pub failed: u64,
    /// This machine had no source port or source address for it.
    pub local: u64,
    /// The backend leads back to a listener of this proxy.
    #[cfg_attr(feature = "serde", serde(rename = "loop"))]
    pub loops: u64,
    /// This machine had no descriptor or no memory for it.
    pub shortage: u64,
    /// No answer in time.
    pub timeout: u64,
}

impl AttemptCounts {
    /// The names of the outcomes in metrics, with their counts.
    pub const fn iter(&self) -> [(&'static str, u64); OUTCOMES] {
        [
            ("abandoned", self.abandoned),
            ("connected", self.connected),
            ("failed", self.failed),
            ("local", self.local),
            ("loop", self.loops),
            ("shortage", self.shortage),
            ("timeout", self.timeout),
        ]
    }

    /// How many ended, with any outcome.
    pub fn total(&self) -> u64 {
        self.iter().iter().map(|(_, count)| count).sum()
    }
}

/// Live counts.
#[derive(Debug, Default)]
pub(super) struct LiveAttemptCounts([AtomicU64; OUTCOMES]);

impl LiveAttemptCounts {
    pub(super) fn increment(&self, end: AttemptEnd) {
        let at = match end {
            AttemptEnd::Abandoned => 0,
            AttemptEnd::Connected => 1,
            AttemptEnd::Failed(ConnectFailure::Backend) => 2,
            AttemptEnd::Failed(ConnectFailure::Local) => 3,
            AttemptEnd::Failed(ConnectFailure::Loop) => 4,
            AttemptEnd::Failed(ConnectFailure::Shortage) => 5,
            AttemptEnd::Failed(ConnectFailure::Timeout) => 6,
        };
        self.0[at].fetch_add(1, Relaxed);
    }

    pub(super) fn add_to(&self, sum: &mut AttemptCounts) {
        let [
            abandoned,
            connected,
            failed,
            local,
            loops,
            shortage,
            timeout,
        ] = self.0.each_ref().map(|count| count.load(Relaxed));
        sum.abandoned += abandoned;
        sum.connected += connected;
        sum.failed += failed;
        sum.local += local;
        sum.loops += loops;
        sum.shortage += shortage;
        sum.timeout += timeout;
    }
}
