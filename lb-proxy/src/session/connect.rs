//! Connect: one backend after another, until one accepts the connection.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{Backend, Tried};
use socket2::Socket;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::Session;
use super::client_gone::while_session_stays;
use super::details::{ConnectedDetails, Details};
use super::origin::origin_of;
use super::pick::{Dial, DialingSession};
use crate::attempt_times::AttemptTimes;
use crate::close_reason::CloseReason;
use crate::embedder_code::named;
use crate::failures::kind::ConnectFailure;
use crate::hooks::{Attempt, AttemptError, AttemptOutcome, AttemptReport, Observation};
use crate::lazy_timer::LazyTimer;
use crate::live_sessions::SessionPhase;
use crate::metrics::attempt_counts::AttemptEnd;
use crate::metrics::session::SessionCounters;
use crate::metrics::{Counters, RelayTraffic};
use crate::net::connect::{ConnectError, ConnectLimit, connect};
use crate::net::stream::Stream;
use crate::no_backend_cause::NoBackendCause;
use crate::state::hops::MAX_HOPS;
use crate::upstream::outcome::{OutcomeRecorder, ServerRecorder};
use crate::upstream::{Lease, Upstream};

/// How long an attempt that lacks a descriptor or memory waits before it asks again: the first wait and the longest one.
const SHORTAGE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

impl Session {
    /// Connects to a backend. `silent` is whether the client has sent no byte yet. Returns when the connection was established.
    pub(super) async fn connect(
        &mut self,
        silent: bool,
        counters: &Arc<Counters>,
        timer: Pin<&mut LazyTimer>,
    ) -> Result<(Stream, Instant), CloseReason> {
        let route = &self.permit.listener.route;
        let upstream = self.upstream.as_ref().unwrap_or(&route.upstream);
        let key_parts = upstream.hash_key();
        let source = route.bind_source.of(|| self.connection());
        let is_observed = route.observer().is_some();
        let needs_connection = is_observed || key_parts.needs_connection();
        let connection = needs_connection.then(|| self.connection());
        let key = key_parts.key(self.client_addr, connection.as_ref());
        let counted = self.permit.accepting_listener().counters();
        let counted = counted
            .map(|listener| SessionCounters::begin(counters.worker, listener, upstream.counters()));
        if is_observed || counted.is_some() || self.live().is_some() {
            let traffic = Arc::new(RelayTraffic::of_session(counters, counted));
            self.details.get_or_insert_default().traffic = Some(traffic);
        }
        self.show_choice();
        let session = DialingSession {
            origin: origin_of!(self),
            connection: connection.filter(|_| route.hooks.is_some()),
            hops: self.hops,
            counters,
            accepted_at: self.accepted_at,
            details: &mut self.details,
            abandon_silent: route.abandon_silent && silent,
        };
        // `TCP_NODELAY` is set before the second write, if there is one.
        let options = route.backend_options.nodelay(false);
        let mut dial = Dial {
            upstream,
            key,
            retry: &route.retry,
            connect_timeout: route.timeouts.connect,
            bind_source: source.as_ref().unwrap_or(&route.bind_source),
            options: &options,
            attempts: &mut self.attempts,
            timer,
            deadline: None,
            tried: Tried::new(),
            session: Some(session),
            failure: None,
            last_error: None,
        };
        let Dialed {
            lease,
            stream,
            begin,
            connected_at,
        } = dial.run().await?;
        dial.enter(SessionPhase::Relaying);
        let session = dial.session;
        let connection = session.and_then(|session| session.connection);
        let first_byte = lease.first_byte_times();
        if is_observed || first_byte.is_some() {
            let details = self.details.get_or_insert_default();
            let until_attempt = begin.saturating_duration_since(self.accepted_at);
            let took = connected_at.saturating_duration_since(begin);
            note_connected(details, counters, first_byte, begin, until_attempt + took);
        }
        let attempts = self.details.iter().flat_map(|details| &details.attempts);
        if let Some(((hooks, connection), report)) =
            route.observer().zip(connection).zip(attempts.last())
        {
            let backend = &report.backend;
            named("Hooks::connected", || {
                hooks.connected(&connection, upstream, backend);
            });
        }
        self.lease = Some(lease);
        Ok((stream, connected_at))
    }
}

/// Begins the records of the relay, and keeps when the connection was established: `after` the client was accepted, by an
/// attempt that began at `begin`.
fn note_connected(
    details: &mut Details,
    counters: &Arc<Counters>,
    first_byte: Option<Arc<AttemptTimes>>,
    begin: Instant,
    after: Duration,
) {
    let traffic = details
        .traffic
        .get_or_insert_with(|| Arc::new(RelayTraffic::of_session(counters, None)));
    traffic.begin_records(first_byte);
    let connected = ConnectedDetails::new(Arc::clone(traffic), after, begin);
    details.connected = Some(connected);
}

/// A connection with a backend.
pub(crate) struct Dialed {
    pub(crate) lease: Lease,
    pub(crate) stream: Stream,
    /// The begin of the attempt.
    begin: Instant,
    connected_at: Instant,
}

impl Dial<'_> {
    pub(crate) async fn run(&mut self) -> Result<Dialed, CloseReason> {
        let tries = self.retry.tries.unwrap_or(u32::MAX);
        // One look at the clock serves several steps.
        let mut now = Instant::now();
        self.deadline = self.retry.deadline.and_then(|limit| now.checked_add(limit));
        loop {
            if self.time_left(now) == Some(Duration::ZERO) {
                let error = &"the time for all attempts is over";
                return Err(self.without(error, CloseReason::NoBackend, NoBackendCause::Deadline));
            }
            let (lease, begin) = self.pick(now).await?;
            let full = self.connect_timeout;
            let left = self.time_left(begin).filter(|_| self.retry.ends_attempts);
            let limit = left.map_or(full, |left| left.min(full));
            let counted = self.counted().cloned();
            let counted = counted.as_ref().and_then(|traffic| traffic.counted());
            let counted = counted.map(|session| {
                let backend = |upstream: &_| Upstream::backend_counters(&lease, upstream);
                session.attempt(backend, *self.attempts > 0)
            });
            self.show_attempt(&lease);
            let attempt = self.attempt(&lease, begin, limit).await;
            now = Instant::now();
            let elapsed = now.saturating_duration_since(begin);
            *self.attempts += 1;
            if let Some(counted) = counted {
                counted.ended(attempt_end(&attempt), elapsed);
            }
            let route = self.session.as_ref().map(DialingSession::route);
            let observer = route.and_then(|route| route.observer_of(observation_of(&attempt)));
            let backend = observer.is_some().then(|| lease.backend());
            match attempt {
                Err(reason) => {
                    self.observe(backend, Err(None), false, (begin, elapsed));
                    return Err(reason);
                }
                Ok(Ok(stream)) => {
                    lease.connected(self.upstream, self.upstream.at(now));
                    self.observe(backend, Ok(&stream), false, (begin, elapsed));
                    return Ok(Dialed {
                        lease,
                        stream,
                        begin,
                        connected_at: now,
                    });
                }
                Ok(Err(error)) => {
                    self.tried.insert(lease.addr());
                    let ejects = lease.failed(&error, limit == full, self.recorder());
                    self.observe(backend, Err(Some(&error)), ejects, (begin, elapsed));
                    if self.session.is_none() {
                        self.last_error = Some(error);
                    }
                }
            }
            if *self.attempts >= tries {
                let error = &"all attempts that are allowed failed";
                return Err(self.without(error, CloseReason::NoBackend, NoBackendCause::Tries));
            }
        }
    }

    /// One attempt since `begin`, for as long as the client stays.
    async fn attempt(
        &mut self,
        lease: &Lease,
        begin: Instant,
        limit: Duration,
    ) -> Result<Result<Stream, ConnectError>, CloseReason> {
        if let Some(session) = &self.session {
            session.counters.connect_attempts.increment();
        }
        let to = lease.endpoint();
        let hops = self.hops_to(lease.addr());
        if hops > MAX_HOPS {
            return Ok(Err(ConnectError::Loop));
        }
        let (mut since, mut left) = (begin, limit);
        let mut pause = SHORTAGE.0;
        loop {
            let (options, session) = (self.options, self.session.as_ref());
            let begun = |socket: &Socket| {
                session
                    .into_iter()
                    .for_each(|session| session.record_hop(socket, hops));
            };
            let own = hops > 0;
            let time = Some(ConnectLimit {
                within: left,
                since,
                timer: self.timer.as_mut(),
            });
            let connected = connect(&to, own, self.bind_source, options, time, begun);
            match while_session_stays(session, connected).await? {
                // Sessions that end make room. Another backend would not.
                Err(ConnectError::Shortage(error, _)) if pause < left => {
                    if let Some(session) = &self.session {
                        session.counters.connect_shortages.increment();
                    }
                    debug!(%error, "Attempt to connect waits");
                    self.while_client_stays(sleep(pause)).await?;
                    pause = (pause * 2).min(SHORTAGE.1);
                    since = Instant::now();
                    left = limit.saturating_sub(since.saturating_duration_since(begin));
                }
                connected => return Ok(connected),
            }
        }
    }

    fn recorder(&self) -> OutcomeRecorder<'_> {
        let session = self.session.as_ref();
        OutcomeRecorder {
            upstream: self.upstream,
            server: session.map(|session| ServerRecorder {
                counters: session.counters,
                failures: &session.origin.listener.trackers().failures,
            }),
        }
    }

    /// Lets the hooks observe an attempt, and keeps it for their summary. `Err(None)` was abandoned. The times are the begin
    /// and how long it took.
    fn observe(
        &mut self,
        backend: Option<Arc<Backend>>,
        attempt: Result<&Stream, Option<&ConnectError>>,
        ejects: bool,
        (begin, elapsed): (Instant, Duration),
    ) {
        let Some(session) = &mut self.session else {
            return;
        };
        let Some((hooks, backend)) = session.route().hooks.as_deref().zip(backend) else {
            return;
        };
        let origin = session.origin;
        let connection = session
            .connection
            .get_or_insert_with(|| origin.connection());
        let outcome = match attempt {
            Err(None) => AttemptOutcome::Abandoned,
            Ok(_) => AttemptOutcome::Connected,
            Err(Some(error)) => match ConnectFailure::from(error) {
                ConnectFailure::Backend => AttemptOutcome::Failed,
                ConnectFailure::Local | ConnectFailure::Loop | ConnectFailure::Shortage => {
                    AttemptOutcome::Local
                }
                ConnectFailure::Timeout => AttemptOutcome::Timeout,
            },
        };
        let observed = Attempt {
            upstream: self.upstream,
            backend: &backend,
            outcome,
            error: attempt.err().flatten().map(AttemptError::new),
            ejects,
            elapsed,
            socket: attempt.ok(),
        };
        named("Hooks::attempt", || hooks.attempt(connection, &observed));
        let error = observed.error;
        session
            .details
            .get_or_insert_default()
            .attempts
            .push(AttemptReport {
                backend,
                outcome,
                error,
                began_after: Some(begin.saturating_duration_since(session.accepted_at)),
                connected_after: attempt.is_ok().then_some(elapsed),
                first_byte_after: None,
                elapsed,
                bytes_sent: 0,
                bytes_received: 0,
            });
    }
}

fn attempt_end(attempt: &Result<Result<Stream, ConnectError>, CloseReason>) -> AttemptEnd {
    match attempt {
        Err(_) => AttemptEnd::Abandoned,
        Ok(Ok(_)) => AttemptEnd::Connected,
        Ok(Err(error)) => AttemptEnd::Failed(error.into()),
    }
}

/// What hooks must observe to observe such an attempt.
const fn observation_of(
    attempt: &Result<Result<Stream, ConnectError>, CloseReason>,
) -> Observation {
    match attempt {
        Err(_) => Observation::Ends,
        Ok(Ok(_)) => Observation::Everything,
        Ok(Err(_)) => Observation::Failures,
    }
}
