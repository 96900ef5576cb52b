//! Pick: a backend for this connection, now or after waiting for one.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{Backend, PickError, Tried, Verdict};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::details::Details;
use super::origin::Origin;
use crate::close_reason::CloseReason;
use crate::connection::Connection;
use crate::failures::kind::{Failure, FailureEvent};
use crate::live_sessions::SessionPhase;
use crate::metrics::{Counters, RelayTraffic};
use crate::net::bind_source::BindSource;
use crate::net::unix::ShownClient;
use crate::no_backend_cause::NoBackendCause;
use crate::state::route::Route;
use crate::upstream::hash_key::HashKey;
use crate::upstream::{Lease, Upstream, WaitError};

/// How long a client waits for the first membership if no deadline is set.
const FIRST_MEMBERSHIP: Duration = Duration::from_secs(60);

/// The search of one session for a backend that it can connect to.
pub(super) struct Dial<'a> {
    /// The client and the listener.
    pub(super) origin: Origin<'a>,
    /// What the hooks observe. Made with the first attempt that they observe.
    pub(super) connection: Option<Connection>,
    /// What the policy hashes.
    pub(super) key: HashKey,
    pub(super) route: &'a Route,
    pub(super) bind_source: &'a BindSource,
    /// How many own listeners the client passed through before this one.
    pub(super) hops: u8,
    /// The other end of the client's socket.
    pub(super) peer: SocketAddr,
    pub(super) upstream: &'a Upstream,
    pub(super) counters: &'a Counters,
    pub(super) accepted_at: Instant,
    /// Counts the attempts.
    pub(super) attempts: &'a mut u32,
    /// What the hooks' summary needs.
    pub(super) details: &'a mut Option<Box<Details>>,
    /// Whether a client that ends its side without a byte counts as gone.
    pub(super) abandon_silent: bool,
    pub(super) deadline: Option<Instant>,
    pub(super) tried: Tried,
}

impl Dial<'_> {
    /// Leases a backend that the session has not tried yet.
    pub(super) async fn pick(&mut self) -> Result<Lease, CloseReason> {
        loop {
            match self.upstream.pick(&self.key, &self.tried) {
                Ok(lease) => return Ok(lease),
                Err(PickError::NotReady) => self.first_membership().await?,
                Err(error) => return self.queue(error).await,
            }
        }
    }

    async fn first_membership(&mut self) -> Result<(), CloseReason> {
        self.enter(SessionPhase::Queued);
        let limit = self.time_left().unwrap_or(FIRST_MEMBERSHIP);
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
        self.route.hooks.is_some() || self.counted().is_some()
    }

    /// The bytes of the session, if it is counted in detail.
    pub(super) fn counted(&self) -> Option<&Arc<RelayTraffic>> {
        let traffic = self.details.as_ref()?.traffic.as_ref();
        traffic.filter(|traffic| traffic.counted().is_some())
    }

    /// The time that is left for all attempts.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Reports that the session gets no backend, and returns the `reason` for its end.
    pub(super) fn without(
        &mut self,
        error: &dyn Display,
        reason: CloseReason,
        cause: NoBackendCause,
    ) -> CloseReason {
        if self.keeps_cause() {
            self.details.get_or_insert_default().note_no_backend(cause);
        }
        let event = FailureEvent {
            listener: Some(self.origin.listener.endpoint()),
            upstream: Some(self.upstream.shared_name()),
            client: Some(self.origin.client_addr),
            error: Some(error),
            ..FailureEvent::default()
        };
        let failures = &self.origin.listener.trackers().failures;
        failures.record(Failure::Client(reason), &event);
        debug!(
            upstream = self.upstream.name(),
            client.addr = %ShownClient(self.origin.client_addr),
            attempts = *self.attempts,
            %error,
            "No backend for a connection"
        );
        reason
    }
}
