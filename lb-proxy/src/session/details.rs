//! Details of a session that the hooks' summary needs at its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::hooks::{AttemptReport, RefusalDetail};
use crate::live_sessions::SessionPhase;
use crate::live_sessions::table::TrackedSession;
use crate::metrics::session::SessionCounters;
use crate::metrics::{Direction, RelayTraffic};
use crate::no_backend_cause::NoBackendCause;

/// What the hooks' summary needs. Sessions whose hooks do not observe everything have none, unless something failed, the policy weighs the time to the first byte,
/// the proxy counts in detail, or live sessions are tracked.
#[derive(Debug, Default)]
pub(super) struct Details {
    /// How far the session has come.
    pub(super) phase: SessionPhase,
    pub(super) attempts: Vec<AttemptReport>,
    pub(super) refusal: Option<RefusalDetail>,
    /// Present if the session is connected and its summary needs more than its bytes.
    pub(super) connected: Option<Connected>,
    /// The limit that would have refused the client.
    pub(super) observed: Option<RefusalDetail>,
    /// The bytes of a fixed response that the client accepted.
    pub(super) responded: u64,
    /// The session's place in the table of live sessions.
    pub(super) tracked: Option<TrackedSession>,
    /// The bytes of a session that needs a backend, apart from the worker's.
    pub(super) traffic: Option<Arc<RelayTraffic>>,
}

/// The connection with the backend of a session whose summary needs more than its bytes.
#[derive(Clone, Debug)]
pub(super) struct Connected {
    /// From accepting to the connection.
    pub(super) after: Duration,
    /// When the attempt began.
    begin: Instant,
    /// Records both directions.
    pub(super) traffic: Arc<RelayTraffic>,
}

impl Connected {
    /// The connection that an attempt since `begin` led to, `after` the client was accepted.
    pub(super) const fn new(traffic: Arc<RelayTraffic>, after: Duration, begin: Instant) -> Self {
        Self {
            after,
            begin,
            traffic,
        }
    }

    /// Completes the report of the attempt that led to the connection, which ends `now`.
    pub(super) fn complete(&self, report: &mut AttemptReport, now: Instant) {
        let traffic = &*self.traffic;
        report.elapsed = now.saturating_duration_since(self.begin);
        if let Some(record) = traffic.record(Direction::ToClient) {
            let first = record.first_read();
            report.first_byte_after = first.map(|at| at.saturating_duration_since(self.begin));
            report.bytes_received = record.read();
        }
        let to_backend = traffic.record(Direction::ToBackend);
        let added = to_backend.map_or(0, |record| record.added());
        report.bytes_sent = traffic.to_backend.get() + added;
    }
}

impl Details {
    /// What the session is counted in, if the proxy counts in detail and the session needs a backend.
    pub(super) fn counted(&self) -> Option<&SessionCounters> {
        self.traffic.as_ref()?.counted()
    }

    /// Why the session has got no backend.
    pub(super) const fn no_backend(&self) -> Option<NoBackendCause> {
        match self.refusal {
            Some(RefusalDetail::NoBackend(cause)) => Some(cause),
            _ => None,
        }
    }

    pub(super) fn note_no_backend(&mut self, cause: NoBackendCause) {
        self.refusal = Some(RefusalDetail::NoBackend(cause));
    }
}
