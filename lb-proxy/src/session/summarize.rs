//! Summarize: what the hooks observe of the end of a session.

use std::sync::Arc;
use std::time::Duration;

use lb_core::Backend;
use tokio::time::Instant;

use super::Session;
use super::details::Details;
use crate::close_reason::CloseReason;
use crate::hooks::{AttemptOutcome, AttemptReport, Observation, RefusalDetail, Summary};
use crate::live_sessions::SessionPhase;
use crate::metrics::Direction;
use crate::relay::RelayTotals;
use crate::upstream::Lease;

impl Session {
    /// Lets the hooks observe the end.
    pub(super) fn summarize(&mut self, reason: CloseReason) {
        let listener = Arc::clone(&self.permit.listener);
        let Some(hooks) = &listener.route.hooks else {
            return;
        };
        let observation = hooks.observes();
        if observation == Observation::Failures && !reason.is_failure() {
            return;
        }
        let is_observed = observation == Observation::Everything;
        // Not boxed: most sessions whose ends alone are observed have none.
        let mut details = self
            .details
            .take()
            .map_or_else(Details::default, |kept| *kept);
        let now = Instant::now();
        let backend = self.lease.as_ref().map(Lease::backend);
        let totals = &self.totals;
        if !is_observed && let Some(backend) = &backend {
            details.attempts.reserve_exact(1);
            details.attempts.push(report(totals, Arc::clone(backend)));
        }
        let connected = details.connected.as_ref();
        if let Some((connected, report)) = connected.zip(details.attempts.last_mut()) {
            connected.complete(report, now);
        }
        let traffic = connected.map(|own| &*own.traffic);
        let record = |direction| traffic.and_then(|own| own.record(direction));
        let from_client = record(Direction::ToBackend);
        let from_backend = record(Direction::ToClient);
        let since_accept = |at: Instant| at.saturating_duration_since(self.accepted_at);
        let phase = match &backend {
            Some(_) => SessionPhase::Relaying,
            None => details.phase,
        };
        // A refusal before the choice names no upstream.
        let is_chosen = phase.has_upstream()
            || !details.attempts.is_empty()
            || matches!(details.refusal, Some(RefusalDetail::NoBackend(_)));
        let summary = Summary {
            id: self.id,
            reason,
            phase,
            refusal: details.refusal.as_ref(),
            observed: details.observed.as_ref(),
            upstream: is_chosen.then(|| self.upstream()),
            backend: backend.as_deref(),
            attempts: &details.attempts,
            elapsed: since_accept(now),
            connected_after: connected.map(|own| own.after),
            bytes_from_client: from_client
                .map_or_else(|| totals.bytes_from_client(), |record| record.read()),
            bytes_to_backend: traffic
                .map_or_else(|| totals.bytes_to_backend(), |own| own.to_backend.get()),
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

/// The attempt that connected to `backend`, without its times.
fn report(totals: &RelayTotals, backend: Arc<Backend>) -> AttemptReport {
    AttemptReport {
        backend,
        outcome: AttemptOutcome::Connected,
        error: None,
        began_after: None,
        connected_after: None,
        first_byte_after: None,
        elapsed: Duration::ZERO,
        bytes_sent: totals.bytes_sent(),
        bytes_received: totals.bytes_from_backend(),
    }
}
