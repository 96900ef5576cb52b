//! Close: counts, reports and logs the reason, runs the hooks, and releases the lease and the permits.

use tracing::debug;

use super::Session;
use crate::close_reason::CloseReason;
use crate::config::OnNoBackend;
use crate::hooks::Summary;
use crate::metrics::{Counter, Counters};
use crate::relay::reset_on_close;
use crate::upstream::Lease;

impl Session {
    /// Ends the session. `Err` is an end before the relay: the client is reset, because a FIN would look like a complete
    /// answer.
    pub(crate) fn close(self, end: Result<CloseReason, CloseReason>, counters: &Counters) {
        if end.is_err_and(|reason| self.is_reset(reason)) {
            reset_on_close(&self.client);
        }
        let (Ok(reason) | Err(reason)) = end;
        counter_of(reason, counters).increment();
        self.note_refusal(reason);
        debug!(
            listener = %self.permit.listener.addr,
            client.addr = %self.client_addr,
            backend.addr = self.lease.as_ref().map(|lease| tracing::field::display(lease.addr())),
            ?reason,
            "Session ended"
        );
        if let Some(hooks) = &self.route().hooks {
            let details = self.details.as_deref();
            let backend = self.lease.as_ref().map(Lease::backend);
            let summary = Summary {
                reason,
                backend: backend.as_deref(),
                attempts: self.attempts,
                elapsed: self.accepted_at.elapsed(),
                connected_after: details.map(|own| own.connected_after),
                bytes_to_backend: details.map_or(0, |own| own.to_backend.get()),
                bytes_to_client: details.map_or(0, |own| own.to_client.get()),
            };
            hooks.close(&self.connection(), &summary);
        }
        drop(self);
        counters.active.decrement();
    }

    fn is_reset(&self, reason: CloseReason) -> bool {
        if reason == CloseReason::Responded {
            return false;
        }
        let for_want_of_a_backend = matches!(
            reason,
            CloseReason::NoBackend | CloseReason::QueueFull | CloseReason::QueueTimeout
        );
        !(for_want_of_a_backend && self.route().on_no_backend == OnNoBackend::Close)
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
