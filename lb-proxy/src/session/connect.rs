//! Connect: one backend after another, until one takes the connection.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use lb_core::{FailureEffect, Tried};
use socket2::Socket;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::pick::Dial;
use super::{Details, Session};
use crate::close_reason::CloseReason;
use crate::failures::kind::{ConnectFailure, Failure, FailureEvent};
use crate::hooks::{Attempt, AttemptOutcome};
use crate::metrics::{Counter, Counters};
use crate::net::connect::{ConnectError, connect};
use crate::net::stream::Stream;
use crate::state::hops::MAX_HOPS;
use crate::state::route::Route;
use crate::upstream::Lease;

/// How long an attempt that lacks a descriptor or memory waits before it asks again: at first, and at the most.
const SHORTAGE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

impl Session {
    /// Connects to a backend. `silent` tells that the client has not said anything yet.
    pub(super) async fn connect(
        &mut self,
        silent: bool,
        counters: &std::sync::Arc<Counters>,
    ) -> Result<Stream, CloseReason> {
        let listener = &self.permit.listener;
        let route = &listener.route;
        let retry = route.retry.deadline;
        let upstream = self.upstream.as_ref().unwrap_or(&route.upstream);
        let key_parts = upstream.hash_key();
        let needs_connection = route.hooks.is_some() || key_parts.needs_connection();
        let connection = needs_connection.then(|| self.connection());
        let key = key_parts.key(self.client_addr, connection.as_ref());
        let hooks = route.hooks.as_deref().zip(connection);
        let mut dial = Dial {
            client: &self.client,
            client_addr: self.client_addr,
            hooks,
            key,
            listener,
            route,
            hops: self.hops,
            peer: self
                .ends
                .as_ref()
                .map_or(self.client_addr, |ends| ends.peer),
            upstream,
            counters,
            attempts: &mut self.attempts,
            abandon_silent: route.abandon_silent && silent,
            deadline: retry.and_then(|limit| Instant::now().checked_add(limit)),
            tried: Tried::new(),
        };
        let (lease, backend) = dial.run().await?;
        if let Some((hooks, connection)) = dial.hooks {
            self.details = Some(Box::new(Details {
                connected_after: self.accepted_at.elapsed(),
                to_backend: Counter::part_of(counters, |counters| &counters.bytes_to_backends),
                to_client: Counter::part_of(counters, |counters| &counters.bytes_to_clients),
            }));
            hooks.connected(&connection, &lease.backend());
        }
        self.lease = Some(lease);
        Ok(backend)
    }
}

impl Dial<'_> {
    async fn run(&mut self) -> Result<(Lease, Stream), CloseReason> {
        let tries = self.route.retry.tries.map_or(u32::MAX, NonZeroU32::get);
        loop {
            if self.time_left() == Some(Duration::ZERO) {
                return Err(
                    self.without(&"the time for all attempts is over", CloseReason::NoBackend)
                );
            }
            let lease = self.pick().await?;
            let full = self.route.timeouts.connect;
            let limit = self.time_left().map_or(full, |left| left.min(full));
            let begin = Instant::now();
            let attempt = self.attempt(&lease, limit).await;
            *self.attempts += 1;
            self.tell(&lease, &attempt, begin);
            match attempt? {
                Ok(backend) => {
                    self.upstream.connected(&lease);
                    return Ok((lease, backend));
                }
                Err(error) => self.note_failure(lease, &error, limit == full),
            }
            if *self.attempts >= tries {
                return Err(self.without(
                    &"all attempts that are allowed failed",
                    CloseReason::NoBackend,
                ));
            }
        }
    }

    /// One attempt, for as long as the client stays.
    async fn attempt(
        &self,
        lease: &Lease,
        limit: Duration,
    ) -> Result<Result<Stream, ConnectError>, CloseReason> {
        self.counters.connect_attempts.increment();
        let hops = self.hops_to(lease.addr());
        if hops > MAX_HOPS {
            return Ok(Err(ConnectError::Loop));
        }
        let end = Instant::now() + limit;
        let mut pause = SHORTAGE.0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Route {
                bind_source,
                backend_options,
                ..
            } = self.route;
            let begun = |socket: &Socket| self.announce_hop(socket, hops);
            let connected = connect(lease.addr(), bind_source, backend_options, left, begun);
            match self.while_client_stays(connected).await? {
                // Sessions that end make room. Another backend would not.
                Err(ConnectError::Shortage(error)) if pause < left => {
                    self.counters.connect_shortages.increment();
                    debug!(%error, "Attempt to connect waits");
                    self.while_client_stays(sleep(pause)).await?;
                    pause = (pause * 2).min(SHORTAGE.1);
                }
                connected => return Ok(connected),
            }
        }
    }

    /// How many own listeners the client will have come through when it is accepted at `to`; 0 if that is elsewhere.
    fn hops_to(&self, to: SocketAddr) -> u8 {
        let hops = &self.listener.trackers().hops;
        if !hops.leads_back(to) {
            return 0;
        }
        // Another worker can accept a connection before the one that made it has said so.
        let before = self.hops.max(hops.take(self.peer));
        before.saturating_add(1)
    }

    /// Makes a connection known that comes back by an own listener.
    fn announce_hop(&self, socket: &Socket, hops: u8) {
        let from = (hops > 0).then(|| socket.local_addr().ok()?.as_socket());
        if let Some(from) = from.flatten() {
            self.listener.trackers().hops.record(from, hops);
        }
    }

    /// Tells the embedder of an attempt.
    fn tell(
        &self,
        lease: &Lease,
        attempt: &Result<Result<Stream, ConnectError>, CloseReason>,
        begin: Instant,
    ) {
        let Some((hooks, connection)) = &self.hooks else {
            return;
        };
        let outcome = match attempt {
            Err(_) => AttemptOutcome::Abandoned,
            Ok(Ok(_)) => AttemptOutcome::Connected,
            Ok(Err(ConnectError::Backend(_))) => AttemptOutcome::Failed,
            Ok(Err(ConnectError::Local(_) | ConnectError::Loop | ConnectError::Shortage(_))) => {
                AttemptOutcome::Local
            }
            Ok(Err(ConnectError::Timeout(_))) => AttemptOutcome::Timeout,
        };
        let attempt = Attempt {
            backend: &lease.backend(),
            outcome,
            elapsed: begin.elapsed(),
        };
        hooks.attempt(connection, &attempt);
    }

    /// Counts a failed attempt, against the backend only if it was the backend's: it had its whole time, and
    /// nothing was missing on this machine.
    fn note_failure(&mut self, lease: Lease, error: &ConnectError, had_its_time: bool) {
        let addr = lease.addr();
        self.tried.insert(addr);
        let failures = &self.counters.connect_failures;
        let (counter, blameless, blame) = match error {
            ConnectError::Backend(_) => (failures, false, ConnectFailure::Backend),
            ConnectError::Local(_) => (failures, true, ConnectFailure::Local),
            ConnectError::Loop => (failures, true, ConnectFailure::Loop),
            ConnectError::Shortage(_) => (failures, true, ConnectFailure::Shortage),
            ConnectError::Timeout(_) => (
                &self.counters.connect_timeouts,
                !had_its_time,
                ConnectFailure::Timeout,
            ),
        };
        counter.increment();
        let event = FailureEvent {
            upstream: Some(self.upstream.shared_name()),
            backend: Some(addr),
            error: Some(error),
            ..FailureEvent::default()
        };
        let failures = &self.listener.trackers().failures;
        failures.record(Failure::Connect(blame), &event);
        let upstream = self.upstream;
        debug!(upstream = upstream.name(), backend.addr = %addr, %error, "Attempt to connect failed");
        if blameless {
            return;
        }
        upstream.refresh();
        if lease.failed(upstream.now()) == FailureEffect::Ejected {
            self.counters.ejections.increment();
            upstream.ejected(addr);
            warn!(upstream = upstream.name(), backend.addr = %addr, %error, "Backend ejected");
        }
    }
}
