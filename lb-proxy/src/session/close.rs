//! Close: counts, reports and logs the reason, runs the hooks, and releases the lease and the permits.

use tracing::debug;

use super::Session;
use crate::close_reason::CloseReason;
use crate::config::OnRefusal;
use crate::metrics::{Counter, Counters};
use crate::net::unix::ShownClient;
use crate::relay::reset_on_close;

impl Session {
    /// Ends the session. `Err` is an end before the relay: by default the client is reset, because a FIN would look like a
    /// complete answer.
    pub(crate) fn close(mut self, end: Result<CloseReason, CloseReason>, counters: &Counters) {
        // With bytes unread the kernel resets as well. It does not know the bytes that a preread has read.
        let is_refused = end.is_err_and(|reason| reason != CloseReason::Responded);
        if is_refused && (self.route().on_refusal == OnRefusal::Reset || self.has_unsent) {
            reset_on_close(&self.client);
        }
        let (Ok(reason) | Err(reason)) = end;
        counter_of(reason, counters).increment();
        self.note_refusal(reason);
        debug!(
            listener = %self.permit.listener.endpoint(),
            client.addr = %ShownClient(self.client_addr),
            backend.addr = self.lease.as_ref().map(|lease| tracing::field::display(lease.endpoint())),
            ?reason,
            "Session ended"
        );
        self.summarize(reason);
        drop(self);
        counters.active.decrement();
    }
}

const fn counter_of(reason: CloseReason, counters: &Counters) -> &Counter {
    match reason {
        CloseReason::Aborted => &counters.aborted,
        CloseReason::AccessDenied => &counters.access_denied,
        CloseReason::BackendRemoved => &counters.backends_removed,
        CloseReason::BackendReset => &counters.backend_resets,
        CloseReason::BackendUnhealthy => &counters.backends_unhealthy,
        CloseReason::ClientGone => &counters.clients_gone,
        CloseReason::ClientRate => &counters.client_rate,
        CloseReason::ClientReset => &counters.client_resets,
        CloseReason::ClientSessions => &counters.client_sessions,
        CloseReason::ClientZoneFull => &counters.client_zone_full,
        CloseReason::Finished => &counters.finished,
        CloseReason::FirstByteTimeout => &counters.first_byte_timeouts,
        CloseReason::HalfClosedTimeout => &counters.half_closed_timeouts,
        CloseReason::IdleTimeout => &counters.idle_timeouts,
        CloseReason::MaxAge => &counters.max_age_reached,
        CloseReason::NoBackend => &counters.no_backend,
        CloseReason::Operator => &counters.operator_closed,
        CloseReason::Preread => &counters.preread_errors,
        CloseReason::PrereadTimeout => &counters.preread_timeouts,
        CloseReason::QueueFull => &counters.queue_full,
        CloseReason::QueueTimeout => &counters.queue_timeouts,
        CloseReason::Rate => &counters.rate_refused,
        CloseReason::Refused => &counters.hook_refused,
        CloseReason::Responded => &counters.responded,
        CloseReason::RouteRefused => &counters.route_refused,
        CloseReason::Sessions => &counters.sessions_refused,
    }
}
