//! Respond: the client gets fixed bytes instead of a backend.

use super::Session;
use crate::close_reason::CloseReason;
use crate::live_sessions::SessionPhase;
use crate::metrics::{Counters, Direction};
use crate::relay::{ResponseEnd, respond};

impl Session {
    /// Sends `bytes` and the end of the stream. Returns the reason for the end of the session.
    pub(super) async fn respond(&mut self, bytes: &[u8], counters: &Counters) -> CloseReason {
        self.enter(SessionPhase::Responding);
        let details = &mut self.details;
        let detailed = self.permit.accepting_listener().counters();
        let sent = |n| {
            counters.bytes_to_clients.add(n);
            if let Some(detailed) = detailed {
                detailed.add_bytes(counters.worker, Direction::ToClient, n);
            }
            if let Some(details) = details {
                details.responded += n;
            }
        };
        match respond(&self.client, bytes, sent).await {
            ResponseEnd::ClientReset => CloseReason::ClientReset,
            ResponseEnd::Delivered => CloseReason::Responded,
            ResponseEnd::Timeout => CloseReason::IdleTimeout,
        }
    }
}
