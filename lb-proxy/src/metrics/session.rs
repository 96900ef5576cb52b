//! The counters of one session besides those of its worker.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::attempt_counts::AttemptEnd;
use super::backend::{BackendCounters, BackendUse};
use super::listener::ListenerCounters;
use super::traffic::Direction;
use super::upstream::UpstreamCounters;
use crate::close_reason::CloseReason;
use crate::no_backend_cause::NoBackendCause;

/// The listener, the upstream and the backend that one session is counted in.
#[derive(Debug)]
pub(crate) struct SessionCounters {
    worker: usize,
    listener: Arc<ListenerCounters>,
    /// `None` for a fixed upstream.
    upstream: Option<Arc<UpstreamCounters>>,
    backend: OnceLock<BackendUse>,
}

impl SessionCounters {
    /// Counts the begin of a session that needs a backend.
    pub(crate) fn begin(
        worker: usize,
        listener: &Arc<ListenerCounters>,
        upstream: Option<&Arc<UpstreamCounters>>,
    ) -> Self {
        if let Some(upstream) = upstream {
            upstream.session_begun(worker);
        }
        Self {
            worker,
            listener: Arc::clone(listener),
            upstream: upstream.cloned(),
            backend: OnceLock::new(),
        }
    }

    /// Counts the begin of an attempt to connect to `backend`. `is_retry` is whether an attempt of the session failed before.
    pub(crate) fn attempt(
        &self,
        backend: impl FnOnce(&UpstreamCounters) -> Option<Arc<BackendCounters>>,
        is_retry: bool,
    ) -> CountedAttempt<'_> {
        let upstream = self.upstream.as_deref();
        let backend = upstream.and_then(|upstream| {
            if is_retry {
                upstream.retried(self.worker);
            }
            let used = BackendUse::begin(backend(upstream)?);
            if !used.counters().is_listed() {
                upstream.relist(used.counters());
            }
            Some(used)
        });
        CountedAttempt {
            session: self,
            backend,
            is_over: false,
        }
    }

    /// Adds bytes of the session to what it is counted in.
    pub(super) fn add_bytes(&self, direction: Direction, n: u64) {
        self.listener.add_bytes(self.worker, direction, n);
        if let Some(upstream) = &self.upstream {
            upstream.add_bytes(self.worker, direction, n);
        }
        if let Some(backend) = self.backend.get() {
            backend.add_bytes(self.worker, direction, n);
        }
    }

    /// Counts the end of the session, for the upstream and the backend. `cause` is why it has got no backend, if it has none.
    pub(crate) fn ended(
        &self,
        reason: CloseReason,
        cause: Option<NoBackendCause>,
        length: Duration,
    ) {
        if let Some(backend) = self.backend.get() {
            backend.session_ended(reason);
        }
        if let Some(upstream) = &self.upstream {
            upstream.session_ended(self.worker, reason, cause, length);
        }
    }
}

/// An attempt to connect that is counted at its end. Dropping it before counts it as abandoned.
#[derive(Debug)]
pub(crate) struct CountedAttempt<'a> {
    session: &'a SessionCounters,
    backend: Option<BackendUse>,
    is_over: bool,
}

impl CountedAttempt<'_> {
    /// Counts the end of the attempt, which took `time`. A connected backend is that of the session.
    pub(crate) fn ended(mut self, end: AttemptEnd, time: Duration) {
        self.count(end, time);
        if end == AttemptEnd::Connected
            && let Some(backend) = self.backend.take()
        {
            // A session connects once.
            let _ = self.session.backend.set(backend);
        }
    }

    fn count(&mut self, end: AttemptEnd, time: Duration) {
        self.is_over = true;
        if let Some(upstream) = &self.session.upstream {
            upstream.attempt_ended(self.session.worker, end, time);
        }
        if let Some(backend) = &mut self.backend {
            backend.attempt_ended(end);
        }
    }
}

impl Drop for CountedAttempt<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.count(AttemptEnd::Abandoned, Duration::ZERO);
        }
    }
}
