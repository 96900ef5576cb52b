//! Refusal: a client that gets no service is reported.

use std::fmt::Display;

use super::Session;
use crate::failures::{Event, Failure};
use crate::hooks::CloseReason;

impl Session {
    /// Reports the end of a session if the client was refused for `reason`. Reasons that come with an error have been
    /// reported where it happened.
    pub(super) fn note_refusal(&self, reason: CloseReason) {
        match reason {
            CloseReason::AccessDenied
            | CloseReason::ClientRate
            | CloseReason::ClientSessions
            | CloseReason::ClientZoneFull
            | CloseReason::PreludeTimeout
            | CloseReason::Rate
            | CloseReason::Refused
            | CloseReason::Sessions => self.report_refusal(reason, None),
            _ => {}
        }
    }

    pub(super) fn report_refusal(&self, reason: CloseReason, error: Option<&dyn Display>) {
        let entrance = &self.slot.entrance;
        let event = Event {
            listener: Some(entrance.addr),
            client: Some(self.client_addr),
            error,
            ..Event::default()
        };
        entrance
            .watch()
            .failures
            .note(Failure::Client(reason), &event);
    }
}
