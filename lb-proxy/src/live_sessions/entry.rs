//! One live session, shared by the session's task and by queries.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use lb_core::Backend;
use tokio::time::Instant;

use super::phase::SessionPhase;
use super::report::SessionReport;
use crate::close_request::CloseRequest;
use crate::metrics::RelayTraffic;
use crate::net::stream::Stream;
#[cfg(feature = "metrics")]
use crate::net::tcp_info::TcpInfo;
use crate::preread_info::PrereadInfo;
use crate::session_id::SessionId;
use crate::upstream::Upstream;

/// One live session. Its task writes it, queries read it.
#[derive(Debug)]
pub(crate) struct LiveSession {
    id: SessionId,
    accepted_at: Instant,
    peer: SocketAddr,
    phase: AtomicU8,
    state: Mutex<LiveState>,
    close: CloseRequest,
}

/// What changes while the session lasts, a few times.
#[derive(Debug)]
pub(crate) struct LiveState {
    pub(crate) listener: SocketAddr,
    pub(crate) client: SocketAddr,
    pub(crate) preread: Option<Arc<PrereadInfo>>,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) backend: Option<Arc<Backend>>,
    pub(crate) traffic: Option<Arc<RelayTraffic>>,
    /// The connection with the backend while the session relays.
    pub(crate) socket: Weak<Stream>,
}

impl LiveSession {
    pub(super) fn new(
        id: SessionId,
        accepted_at: Instant,
        peer: SocketAddr,
        listener: SocketAddr,
    ) -> Self {
        Self {
            id,
            accepted_at,
            peer,
            phase: AtomicU8::new(SessionPhase::Preread as u8),
            state: Mutex::new(LiveState {
                listener,
                client: peer,
                preread: None,
                upstream: None,
                backend: None,
                traffic: None,
                socket: Weak::new(),
            }),
            close: CloseRequest::default(),
        }
    }

    /// Stores how far the session has come.
    pub(crate) fn enter(&self, phase: SessionPhase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Changes what queries see.
    pub(crate) fn change(&self, change: impl FnOnce(&mut LiveState)) {
        change(&mut self.lock());
    }

    /// What asks the session to end.
    pub(crate) const fn close_request(&self) -> &CloseRequest {
        &self.close
    }

    pub(crate) fn report(&self) -> SessionReport {
        let phase = SessionPhase::from_number(self.phase.load(Relaxed));
        let is_closing = self.close.is_ending();
        let age = self.accepted_at.elapsed();
        let state = self.lock();
        let traffic = state.traffic.as_deref();
        SessionReport {
            id: self.id,
            phase: if is_closing {
                SessionPhase::Closing
            } else {
                phase
            },
            listener: state.listener,
            peer: self.peer,
            client: state.client,
            upstream: state
                .upstream
                .as_ref()
                .map(|upstream| Arc::clone(upstream.shared_name())),
            backend: state.backend.clone(),
            age,
            bytes_to_backend: traffic.map_or(0, |traffic| traffic.to_backend.get()),
            bytes_to_client: traffic.map_or(0, |traffic| traffic.to_client.get()),
            preread: state.preread.clone(),
            socket: Weak::new(),
        }
    }

    /// The connection with the backend while the session relays.
    pub(super) fn socket(&self) -> Weak<Stream> {
        Weak::clone(&self.lock().socket)
    }

    /// The name of the upstream of a session that relays over TCP, and what the kernel reports of its backend's socket.
    #[cfg(feature = "metrics")]
    pub(crate) fn backend_tcp(&self) -> Option<(Arc<str>, TcpInfo)> {
        let (upstream, socket) = {
            let state = self.lock();
            let upstream = state.upstream.as_ref()?.shared_name();
            (Arc::clone(upstream), state.socket.upgrade()?)
        };
        Some((upstream, TcpInfo::of(&socket).ok()?))
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, LiveState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
