//! Pick: a backend for this connection, now or after waiting for one.

use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{Backend, PickError, Tried, Verdict};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::details::Details;
use super::origin::Origin;
use super::panics::PanicPlace;
use crate::close_reason::CloseReason;
use crate::config::Retry;
use crate::connection::Connection;
use crate::embedder_code::Panicked;
use crate::failures::kind::{Failure, FailureEvent};
use crate::lazy_timer::LazyTimer;
use crate::live_sessions::SessionPhase;
use crate::metrics::{Counters, RelayTraffic};
use crate::net::bind_source::BindSource;
use crate::net::connect::ConnectError;
use crate::net::options::SocketOptions;
use crate::net::unix::ShownClient;
use crate::no_backend_cause::NoBackendCause;
use crate::state::route::Route;
use crate::upstream::hash_key::HashKey;
use crate::upstream::{Lease, Upstream, WaitError};

/// How long a client waits for the first membership if no deadline is set.
const FIRST_MEMBERSHIP: Duration = Duration::from_secs(60);

/// The search for a backend that accepts a connection: of a session, or of a caller without one.
pub(crate) struct Dial<'a> {
    pub(crate) upstream: &'a Upstream,
    /// What the policy hashes.
    pub(crate) key: HashKey,
    pub(crate) retry: &'a Retry,
    /// The time-out of one attempt.
    pub(crate) connect_timeout: Duration,
    pub(crate) bind_source: &'a BindSource,
    pub(crate) options: &'a SocketOptions,
    /// Counts the attempts.
    pub(crate) attempts: &'a mut u32,
    /// The session's timer, for the time-out of an attempt.
    pub(crate) timer: Pin<&'a mut LazyTimer>,
    /// The end of the time for all attempts, once they have begun.
    pub(crate) deadline: Option<Instant>,
    pub(crate) tried: Tried,
    /// `None` for a caller that is no session.
    pub(crate) session: Option<DialingSession<'a>>,
    /// What a caller that is no session is told, and the error of its last attempt.
    pub(crate) failure: Option<DialFailure>,
    pub(crate) last_error: Option<ConnectError>,
}

/// The session that searches for a backend.
pub(crate) struct DialingSession<'a> {
    /// The client and the listener.
    pub(super) origin: Origin<'a>,
    /// What the hooks observe. Made with the first attempt that they observe.
    pub(super) connection: Option<Connection>,
    /// How many own listeners the client passed through before this one.
    pub(super) hops: u8,
    pub(super) counters: &'a Counters,
    pub(super) accepted_at: Instant,
    /// What the hooks' summary needs.
    pub(super) details: &'a mut Option<Box<Details>>,
    /// Whether a client that ends its side without a byte counts as gone.
    pub(super) abandon_silent: bool,
}

/// Why a caller that is no session got no connection.
#[derive(Debug)]
pub(crate) struct DialFailure {
    pub(crate) cause: Option<NoBackendCause>,
    pub(crate) text: String,
}

impl<'a> DialingSession<'a> {
    pub(super) fn route(&self) -> &'a Route {
        &self.origin.listener.route
    }
}

impl Dial<'_> {
    /// Leases a backend that the session has not tried yet, at the time `now`. Returns the time of the lease.
    pub(super) async fn pick(&mut self, mut now: Instant) -> Result<(Lease, Instant), CloseReason> {
        loop {
            let at = self.upstream.at(now);
            match self.upstream.pick(&self.key, &self.tried, at) {
                Ok(lease) => return Ok((lease, now)),
                Err(PickError::NotReady) => self.first_membership().await?,
                Err(error) => return Ok((self.queue(error).await?, Instant::now())),
            }
            now = Instant::now();
        }
    }

    async fn first_membership(&mut self) -> Result<(), CloseReason> {
        self.enter(SessionPhase::Queued);
        let limit = self.time_left(Instant::now());
        let limit = limit.unwrap_or(FIRST_MEMBERSHIP);
        let ready = timeout(limit, self.upstream.ready());
        let ready = self.while_client_stays(ready).await?;
        ready.map_err(|_| {
            let error = &"no backends are known yet";
            self.without(error, CloseReason::NoBackend, NoBackendCause::NotReady)
        })
    }

    /// Waits in the upstream's wait queue. The wait extends the deadline of the attempts.
    async fn queue(&mut self, error: PickError) -> Result<Lease, CloseReason> {
        self.enter(SessionPhase::Queued);
        let begin = Instant::now();
        let mut tried = std::mem::take(&mut self.tried);
        let waited = self.upstream.wait(&self.key, &mut tried);
        let waited = self.while_client_stays(waited).await;
        self.tried = tried;
        let elapsed = begin.elapsed();
        if self.counted().is_some()
            && let Some(upstream) = self.upstream.counters()
        {
            upstream.queued(elapsed);
        }
        self.deadline = self.deadline.map(|deadline| deadline + elapsed);
        waited?.map_err(|wait| {
            let (reason, cause) = match wait {
                WaitError::Panicked(panicked) => return self.end_by_panic(&panicked),
                WaitError::Full => (CloseReason::QueueFull, NoBackendCause::Queue),
                WaitError::Hopeless => (CloseReason::NoBackend, self.cause()),
                WaitError::Timeout => (CloseReason::QueueTimeout, NoBackendCause::Queue),
            };
            self.without(&error, reason, cause)
        })
    }

    /// Why no backend could be picked. O(n), so only for sessions that are counted or observed.
    fn cause(&self) -> NoBackendCause {
        if !self.keeps_cause() {
            return NoBackendCause::NoneEligible;
        }
        let backends = self.upstream.backends();
        let backends = backends.snapshot();
        match self.upstream.shared_verdict(&self.key, &self.tried) {
            Some(Verdict::Ejected { .. }) => NoBackendCause::Ejected,
            Some(Verdict::Full) => NoBackendCause::Full,
            Some(Verdict::Tried) => NoBackendCause::Tried,
            Some(Verdict::Unchecked) => NoBackendCause::Unchecked,
            Some(Verdict::Unhealthy) => NoBackendCause::Unhealthy,
            _ if backends.is_empty() => NoBackendCause::Empty,
            _ if !backends.iter().any(Backend::takes_connections) => NoBackendCause::Draining,
            _ => NoBackendCause::NoneEligible,
        }
    }

    /// Whether the cause of a session without a backend is kept until its end.
    fn keeps_cause(&self) -> bool {
        let session = self.session.as_ref();
        session.is_none_or(|session| session.route().hooks.is_some()) || self.counted().is_some()
    }

    /// The bytes of the session, if it is counted in detail.
    pub(super) fn counted(&self) -> Option<&Arc<RelayTraffic>> {
        let details = self.session.as_ref()?.details.as_ref();
        let traffic = details?.traffic.as_ref();
        traffic.filter(|traffic| traffic.counted().is_some())
    }

    /// The time that is left for all attempts at `now`.
    pub(super) fn time_left(&self, now: Instant) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(now))
    }

    /// Reports that the session gets no backend, and returns the `reason` for its end.
    pub(super) fn without(
        &mut self,
        error: &dyn Display,
        reason: CloseReason,
        cause: NoBackendCause,
    ) -> CloseReason {
        let upstream = self.upstream;
        let keeps_cause = self.keeps_cause();
        let Some(session) = &mut self.session else {
            debug!(upstream = upstream.name(), attempts = *self.attempts, %error, "No backend for a connection");
            let text = error.to_string();
            let cause = Some(cause);
            self.failure = Some(DialFailure { cause, text });
            return reason;
        };
        if keeps_cause {
            let details = session.details.get_or_insert_default();
            details.note_no_backend(cause);
        }
        let event = FailureEvent {
            listener: Some(session.origin.listener.endpoint()),
            upstream: Some(upstream.shared_name()),
            client: Some(session.origin.client_addr),
            error: Some(error),
            ..FailureEvent::default()
        };
        let failures = &session.origin.listener.trackers().failures;
        failures.record(Failure::Client(reason), &event);
        debug!(
            upstream = upstream.name(),
            client.addr = %ShownClient(session.origin.client_addr),
            attempts = *self.attempts,
            %error,
            "No backend for a connection"
        );
        reason
    }
}

impl Dial<'_> {
    /// Counts and reports a panic of the policy. Returns that for the end of the session.
    pub(super) fn end_by_panic(&mut self, panicked: &Panicked) -> CloseReason {
        let Some(session) = &self.session else {
            self.upstream.note_panic(panicked);
            let (cause, text) = (None, panicked.to_string());
            self.failure = Some(DialFailure { cause, text });
            return CloseReason::Panicked;
        };
        let place = PanicPlace {
            listener: session.origin.listener,
            upstream: self.upstream,
            client: session.origin.client_addr,
            counters: session.counters,
        };
        place.note(panicked)
    }
}
