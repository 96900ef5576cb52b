//! How far a session has come, and what queries of live sessions see of it.

use std::sync::Arc;

use super::Session;
use super::details::Details;
use super::pick::Dial;
use crate::live_sessions::SessionPhase;
use crate::live_sessions::entry::LiveSession;
use crate::net::stream::Stream;
use crate::state::worker::Worker;
use crate::upstream::Lease;

// A session that is neither observed nor tracked pays a branch for each of these.
impl Session {
    /// Adds the session to the table of its worker.
    pub(super) fn track(&mut self, worker: &Worker) {
        let id = self.id;
        let listener = self.permit.listener.addr;
        let table = &worker.live;
        let tracked = table.add(id, self.accepted_at, self.client_addr, listener);
        self.details.get_or_insert_default().tracked = Some(tracked);
    }

    /// The session as queries see it.
    pub(super) fn live(&self) -> Option<&Arc<LiveSession>> {
        self.details.as_ref()?.live()
    }

    pub(super) fn enter(&mut self, phase: SessionPhase) {
        if let Some(details) = &mut self.details {
            details.enter(phase);
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
            live.change(|state| state.traffic = Some(Arc::clone(&connected.traffic)));
        }
    }
}

impl Session {
    /// Shows the connection with the backend, from which queries read what the kernel knows of it.
    pub(super) fn show_socket(&self, backend: &Arc<Stream>) {
        if let Some(live) = self.live() {
            live.change(|state| state.socket = Arc::downgrade(backend));
        }
    }
}

impl Dial<'_> {
    pub(super) fn enter(&mut self, phase: SessionPhase) {
        if let Some(details) = self.details {
            details.enter(phase);
        }
    }

    /// Shows the backend that the session connects to.
    pub(super) fn show_attempt(&mut self, lease: &Lease) {
        self.enter(SessionPhase::Connecting);
        if let Some(live) = self.details.as_ref().and_then(|details| details.live()) {
            live.change(|state| state.backend = Some(lease.backend()));
        }
    }
}

impl Details {
    pub(super) fn live(&self) -> Option<&Arc<LiveSession>> {
        Some(&self.tracked.as_ref()?.session)
    }

    fn enter(&mut self, phase: SessionPhase) {
        self.phase = phase;
        if let Some(live) = self.live() {
            live.enter(phase);
        }
    }
}
