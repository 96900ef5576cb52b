//! A session's entries in the table of live sessions: its phase, and the state that queries see.

use std::ops::Deref;
use std::sync::Arc;

use tokio::time::Instant;

use super::Session;
use super::details::Details;
use super::pick::Dial;
use crate::live_sessions::SessionPhase;
use crate::live_sessions::entry::LiveSession;
use crate::net::stream::Stream;
use crate::relay::BytesAhead;
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

    /// Shows the client, its first bytes and the upstream, which do not change any more, and the bytes of the session.
    pub(super) fn show_choice(&self) {
        let Some(details) = &self.details else {
            return;
        };
        if let Some(live) = details.live() {
            live.change(|state| {
                state.listener = self.permit.listener.addr;
                state.client = self.client_addr;
                state.preread.clone_from(&self.preread);
                state.upstream = Some(self.upstream().clone());
                state.traffic.clone_from(&details.traffic);
            });
        }
    }

    /// The connection with the backend, which queries can look at if the session is tracked.
    pub(super) fn show_socket(&self, backend: Stream) -> BackendStream {
        let Some(live) = self.live() else {
            return BackendStream::Own(backend);
        };
        let shown = Arc::new(backend);
        live.change(|state| state.socket = Arc::downgrade(&shown));
        BackendStream::Shown(shown, Arc::clone(live))
    }
}

/// What a session that has begun relays with.
pub(super) struct Begun {
    pub(super) backend: BackendStream,
    pub(super) connected_at: Instant,
    pub(super) ahead: BytesAhead,
}

/// The connection of a session with its backend. Dropping it closes the connection.
#[derive(Debug)]
pub(super) enum BackendStream {
    Own(Stream),
    /// That of a tracked session. Queries read what the kernel knows of it.
    ///
    /// The session is here because that takes no memory: the other variant is larger.
    Shown(Arc<Stream>, Arc<LiveSession>),
}

impl BackendStream {
    /// The session as queries see it.
    pub(super) fn live(&self) -> Option<&LiveSession> {
        match self {
            Self::Own(_) => None,
            Self::Shown(_, live) => Some(live),
        }
    }
}

impl Deref for BackendStream {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        match self {
            Self::Own(stream) => stream,
            Self::Shown(stream, _) => stream,
        }
    }
}

impl Dial<'_> {
    pub(super) fn enter(&mut self, phase: SessionPhase) {
        let session = self.session.as_mut();
        if let Some(details) = session.and_then(|session| session.details.as_mut()) {
            details.enter(phase);
        }
    }

    /// Shows the backend that the session connects to.
    pub(super) fn show_attempt(&mut self, lease: &Lease) {
        self.enter(SessionPhase::Connecting);
        let session = self.session.as_ref();
        let details = session.and_then(|session| session.details.as_ref());
        if let Some(live) = details.and_then(|details| details.live()) {
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
