//! What the hooks' summary needs at the end of a session.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use crate::close_reason::CloseReason;
use crate::hooks::{AttemptReport, NoBackendCause, RefusalDetail, Summary};
use crate::live_sessions::table::TrackedSession;
use crate::metrics::{Counters, SessionTraffic};
use crate::upstream::Lease;
use crate::upstream::attempt_times::AttemptTimes;

/// What the hooks' summary needs. Sessions without hooks have none, unless the policy weighs the time to the first byte,
/// or live sessions are tracked.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) attempts: Vec<AttemptReport>,
    pub(super) refusal: Option<RefusalDetail>,
    pub(super) connected: Option<Connected>,
    /// The limit that would have refused the client.
    pub(super) observed: Option<RefusalDetail>,
    /// The bytes of a fixed response that the client accepted.
    pub(super) responded: u64,
    /// The session's place in the table of live sessions.
    pub(super) tracked: Option<TrackedSession>,
}

/// The connection with the backend.
#[derive(Debug)]
pub(super) struct Connected {
    /// From accepting to the connection.
    after: Duration,
    /// When the attempt began.
    begin: Instant,
    /// Counted apart from the worker's.
    pub(super) traffic: Arc<SessionTraffic>,
}

impl Connected {
    /// `first_byte` is notified when the first byte of the backend comes.
    pub(super) fn new(
        counters: &Arc<Counters>,
        accepted_at: Instant,
        begin: Instant,
        first_byte: Option<Arc<AttemptTimes>>,
    ) -> Self {
        Self {
            after: accepted_at.elapsed(),
            begin,
            traffic: Arc::new(SessionTraffic::new(counters, first_byte)),
        }
    }

    /// Completes the report of the attempt that led to the connection.
    fn complete(&self, report: &mut AttemptReport) {
        let SessionTraffic {
            to_backend,
            to_client,
        } = &*self.traffic;
        report.elapsed = self.begin.elapsed();
        if let Some(record) = to_client.record() {
            let first = record.first_read();
            report.first_byte_after = first.map(|at| at.saturating_duration_since(self.begin));
            report.bytes_received = record.read();
        }
        let added = to_backend.record().map_or(0, |record| record.added());
        report.bytes_sent = to_backend.get() + added;
    }
}

impl Session {
    /// Lets the hooks observe the end.
    pub(super) fn summarize(&mut self, reason: CloseReason) {
        let listener = Arc::clone(&self.permit.listener);
        let Some(hooks) = &listener.route.hooks else {
            return;
        };
        let is_observed = listener.route.observer().is_some();
        if !is_observed && !reason.is_failure() {
            return;
        }
        let mut details = self.details.take().unwrap_or_default();
        let backend = self.lease.as_ref().map(Lease::backend);
        let totals = &self.totals;
        if !is_observed && let Some(backend) = &backend {
            details.attempts.push(totals.report(Arc::clone(backend)));
        }
        if let Some((connected, report)) =
            details.connected.as_ref().zip(details.attempts.last_mut())
        {
            connected.complete(report);
        }
        let connected = details.connected.as_ref();
        let traffic = connected.map(|own| &*own.traffic);
        let records = traffic.map(|own| (own.to_backend.record(), own.to_client.record()));
        let (from_client, from_backend) = records.unwrap_or_default();
        let since_accept = |at: Instant| at.saturating_duration_since(self.accepted_at);
        // A refusal before the choice names no upstream.
        let is_chosen = connected.is_some()
            || !details.attempts.is_empty()
            || matches!(details.refusal, Some(RefusalDetail::NoBackend(_)));
        let summary = Summary {
            reason,
            refusal: details.refusal.as_ref(),
            observed: details.observed.as_ref(),
            upstream: is_chosen.then(|| self.upstream()),
            backend: backend.as_deref(),
            attempts: &details.attempts,
            elapsed: self.accepted_at.elapsed(),
            connected_after: connected.map(|own| own.after),
            bytes_from_client: from_client
                .map_or_else(|| totals.bytes_from_client(), |record| record.read()),
            bytes_to_backend: traffic
                .map_or_else(|| totals.bytes_from_client(), |own| own.to_backend.get()),
            bytes_to_client: match traffic {
                Some(own) => own.to_client.get(),
                None => details.responded + totals.bytes_to_client(),
            },
            client_ended_after: from_client
                .and_then(|record| record.ended())
                .map(since_accept),
            backend_ended_after: from_backend
                .and_then(|record| record.ended())
                .map(since_accept),
        };
        hooks.close(&self.connection(), &summary);
    }

    /// Keeps a detail of the end for the summary. `detail` runs only for sessions with hooks.
    pub(super) fn note_refused_for(&mut self, detail: impl FnOnce() -> RefusalDetail) {
        if self.route().hooks.is_some() {
            self.details.get_or_insert_default().refusal = Some(detail());
        }
    }
}

impl Details {
    pub(super) fn note_no_backend(&mut self, cause: NoBackendCause) {
        self.refusal = Some(RefusalDetail::NoBackend(cause));
    }
}
