//! Refusal: reports clients that get no service or lose it.

use std::fmt::Display;

use super::Session;
use crate::close_reason::CloseReason;
use crate::failures::kind::{Failure, FailureEvent};
use crate::upstream::Lease;

impl Session {
    /// Reports the end of a session if the client was refused for `reason`, or lost its backend. Reasons with an error are
    /// reported by the step that failed.
    pub(super) fn note_refusal(&self, reason: CloseReason) {
        match reason {
            CloseReason::AccessDenied
            | CloseReason::ClientRate
            | CloseReason::ClientSessions
            | CloseReason::ClientZoneFull
            | CloseReason::PrereadTimeout
            | CloseReason::Rate
            | CloseReason::Refused
            | CloseReason::Sessions => self.report_refusal(reason, None),
            CloseReason::BackendReset => self.report_reset(),
            _ => {}
        }
    }

    fn report_reset(&self) {
        let event = FailureEvent {
            upstream: Some(self.upstream().shared_name()),
            client: Some(self.client_addr),
            backend: self.lease.as_ref().map(Lease::endpoint),
            ..FailureEvent::default()
        };
        let failures = &self.permit.listener.trackers().failures;
        failures.record(Failure::Client(CloseReason::BackendReset), &event);
    }

    pub(super) fn report_refusal(&self, reason: CloseReason, error: Option<&dyn Display>) {
        let listener = &self.permit.listener;
        let event = FailureEvent {
            listener: Some(listener.endpoint()),
            client: Some(self.client_addr),
            error,
            ..FailureEvent::default()
        };
        listener
            .trackers()
            .failures
            .record(Failure::Client(reason), &event);
    }
}
