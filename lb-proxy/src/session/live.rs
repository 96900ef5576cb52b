//! What queries of live sessions see of a session.

use std::sync::Arc;

use super::Session;
use super::details::Details;
use super::pick::Dial;
use crate::live_sessions::SessionPhase;
use crate::live_sessions::entry::LiveSession;
use crate::live_sessions::table::SessionTable;
use crate::upstream::Lease;

// A session that is not tracked pays a branch for each of these.
impl Session {
    /// Adds the session to the table of its worker.
    pub(super) fn track(&mut self, table: &Arc<SessionTable>) {
        let listener = self.permit.listener.addr;
        let tracked = table.add(self.accepted_at, self.client_addr, listener);
        self.details.get_or_insert_default().tracked = Some(tracked);
    }

    /// The session as queries see it.
    pub(super) fn live(&self) -> Option<&Arc<LiveSession>> {
        live(self.details.as_deref())
    }

    pub(super) fn enter(&self, phase: SessionPhase) {
        if let Some(live) = self.live() {
            live.enter(phase);
        }
    }

    /// Shows the client, its first bytes and the upstream, which do not change any more.
    pub(super) fn show_choice(&self) {
        if let Some(live) = self.live() {
            live.change(|state| {
                state.listener = self.permit.listener.addr;
                state.client = self.client_addr;
                state.preread.clone_from(&self.preread);
                state.upstream = Some(self.upstream().clone());
            });
        }
    }

    /// Shows the bytes of the session, which is connected.
    pub(super) fn show_relay(&self) {
        let details = self.details.as_ref();
        let connected = details.and_then(|details| details.connected.as_ref());
        if let Some((live, connected)) = self.live().zip(connected) {
            live.enter(SessionPhase::Relaying);
            live.change(|state| state.traffic = Some(Arc::clone(&connected.traffic)));
        }
    }
}

impl Dial<'_> {
    pub(super) fn live(&self) -> Option<&Arc<LiveSession>> {
        live(self.details.as_deref())
    }

    pub(super) fn enter(&self, phase: SessionPhase) {
        if let Some(live) = self.live() {
            live.enter(phase);
        }
    }

    /// Shows the backend that the session connects to.
    pub(super) fn show_attempt(&self, lease: &Lease) {
        if let Some(live) = self.live() {
            live.enter(SessionPhase::Connecting);
            live.change(|state| state.backend = Some(lease.backend()));
        }
    }
}

fn live(details: Option<&Details>) -> Option<&Arc<LiveSession>> {
    Some(&details?.tracked.as_ref()?.session)
}
