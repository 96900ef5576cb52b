//! What the hooks' summary needs at the end of a session.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use crate::close_reason::CloseReason;
use crate::hooks::{AttemptReport, NoBackendCause, RefusalDetail, Summary};
use crate::metrics::{Counter, Counters};
use crate::upstream::Lease;
use crate::upstream::attempt_times::AttemptTimes;

/// What the hooks' summary needs. Sessions without hooks have none, unless the policy weighs the time to the first byte.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) attempts: Vec<AttemptReport>,
    pub(super) refusal: Option<RefusalDetail>,
    pub(super) connected: Option<Connected>,
    /// The limit that would have refused the client.
    pub(super) observed: Option<RefusalDetail>,
    /// The bytes of a fixed response that the client accepted.
    pub(super) responded: u64,
}

/// The connection with the backend.
#[derive(Debug)]
pub(super) struct Connected {
    /// From accepting to the connection.
    after: Duration,
    /// When the attempt began.
    begin: Instant,
    /// Counted apart from the worker's.
    pub(super) to_backend: Counter,
    pub(super) to_client: Counter,
}

impl Connected {
    /// The connection that an attempt since `begin` led to, `after` the client was accepted. `first_byte` is notified when
    /// the first byte of the backend comes.
    pub(super) fn new(
        counters: &Arc<Counters>,
        after: Duration,
        begin: Instant,
        first_byte: Option<Arc<AttemptTimes>>,
    ) -> Self {
        Self {
            after,
            begin,
            to_backend: Counter::of_session(counters, |counters| &counters.bytes_to_backends),
            to_client: Counter::of_session(counters, |counters| &counters.bytes_to_clients)
                .timing_first_byte(first_byte),
        }
    }

    /// Completes the report of the attempt that led to the connection.
    fn complete(&self, report: &mut AttemptReport, now: Instant) {
        report.elapsed = now.saturating_duration_since(self.begin);
        if let Some(record) = self.to_client.record() {
            let first = record.first_read();
            report.first_byte_after = first.map(|at| at.saturating_duration_since(self.begin));
            report.bytes_received = record.read();
        }
        let added = self.to_backend.record().map_or(0, |record| record.added());
        report.bytes_sent = self.to_backend.get() + added;
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
        let now = Instant::now();
        let backend = self.lease.as_ref().map(Lease::backend);
        let totals = &self.totals;
        if !is_observed && let Some(backend) = &backend {
            details.attempts.push(totals.report(Arc::clone(backend)));
        }
        if let Some((connected, report)) =
            details.connected.as_ref().zip(details.attempts.last_mut())
        {
            connected.complete(report, now);
        }
        let connected = details.connected.as_ref();
        let records = connected.map(|own| (own.to_backend.record(), own.to_client.record()));
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
            elapsed: since_accept(now),
            connected_after: connected.map(|own| own.after),
            bytes_from_client: from_client
                .map_or_else(|| totals.bytes_from_client(), |record| record.read()),
            bytes_to_backend: connected
                .map_or_else(|| totals.bytes_from_client(), |own| own.to_backend.get()),
            bytes_to_client: match connected {
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
