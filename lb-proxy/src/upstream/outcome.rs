//! The outcome of an attempt to connect: the one place where it changes state, counters, reports and sources.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use lb_core::{Endpoint, FailureEffect, Timestamp};
use tracing::{debug, warn};

use super::Upstream;
use super::after_ejection::Interest;
use super::lease::Lease;
use super::transitions::TransitionKind;
use crate::failures::FailureReports;
use crate::failures::kind::{ConnectFailure, Failure, FailureEvent};
use crate::metrics::Counters;
use crate::net::connect::ConnectError;

/// Where outcomes are counted and reported.
#[derive(Clone, Copy)]
pub(crate) struct OutcomeRecorder<'a> {
    pub(crate) upstream: &'a Upstream,
    /// `None` for a connection that no server makes.
    pub(crate) server: Option<ServerRecorder<'a>>,
}

/// Where a server counts and reports outcomes.
#[derive(Clone, Copy)]
pub(crate) struct ServerRecorder<'a> {
    pub(crate) counters: &'a Counters,
    pub(crate) failures: &'a FailureReports,
}

impl Lease {
    /// The backend took the connection. That ends its failures in a row, and the drain of its sessions if it was
    /// unhealthy.
    pub(crate) fn connected(&self, upstream: &Upstream, now: Timestamp) {
        self.report_connected(now);
        upstream.note_connected(self.addr());
    }

    /// The backend answered after `latency`.
    pub(crate) fn observed(&self, upstream: &Upstream, latency: Duration) {
        self.report_observed(latency, upstream.now());
        upstream.note_connected(self.addr());
    }

    /// Counts, reports and logs a failed attempt.
    ///
    /// If the backend caused the failure, sends a refresh hint to its sources. The failure may eject the backend; its
    /// sessions then drain.
    ///
    /// `had_full_time` is whether the attempt lasted for the whole connect time-out: a shorter one says nothing about the
    /// backend. Returns whether the failure ejected the backend.
    pub(crate) fn failed(
        self,
        error: &ConnectError,
        had_full_time: bool,
        recorder: OutcomeRecorder<'_>,
    ) -> bool {
        let OutcomeRecorder { upstream, server } = recorder;
        let endpoint = self.endpoint();
        let failure = ConnectFailure::from(error);
        if let Some(server) = server {
            server.note_failed(upstream, &endpoint, failure, error);
        }
        debug!(upstream = upstream.name(), backend.addr = %endpoint, %error, "Attempt to connect failed");
        let is_the_backends = match failure {
            ConnectFailure::Backend => true,
            ConnectFailure::Timeout => had_full_time,
            ConnectFailure::Local | ConnectFailure::Loop | ConnectFailure::Shortage => false,
        };
        if !is_the_backends {
            return false;
        }
        let ejects = self.blame(upstream, error.is_unanswered(), error);
        if let Some(server) = server.filter(|_| ejects) {
            server.counters.ejections.increment();
        }
        ejects
    }

    /// The backend is to blame, or the path to it if nothing answered. Returns whether that ejected it.
    pub(crate) fn blame(
        self,
        upstream: &Upstream,
        is_unanswered: bool,
        error: &dyn Display,
    ) -> bool {
        let (addr, endpoint) = (self.addr(), self.endpoint());
        let detailed = upstream.counters();
        let backend = detailed.map(|_| self.backend());
        upstream.refresh();
        let effect = self.report_failed(is_unanswered, upstream.now());
        upstream.note_forgiven();
        let ejects = effect == FailureEffect::Ejected;
        if ejects {
            if let Some((detailed, backend)) = detailed.zip(backend) {
                detailed.ejected(&backend);
            }
            upstream.drain().unhealthy(addr);
            upstream.record_transition(addr, TransitionKind::Ejected);
            upstream.after_ejection().set(Interest::Readiness);
            upstream.readiness_changed();
            upstream.send_ejected(addr);
            warn!(upstream = upstream.name(), backend.addr = %endpoint, %error, "Backend ejected");
        }
        ejects
    }
}

impl Upstream {
    /// The backend at `addr` took a connection.
    pub(super) fn note_connected(&self, addr: SocketAddr) {
        self.drain().healthy(addr);
        if self.after_ejection().is_awaited() {
            self.note_after_ejection(addr);
        }
        self.note_forgiven();
    }

    /// The backend at `addr` took a connection after one was ejected.
    #[cold]
    fn note_after_ejection(&self, addr: SocketAddr) {
        if self.after_ejection().take(Interest::Readiness) {
            self.readiness_changed();
        }
        if self.after_ejection().has(Interest::Events) {
            self.send_recovered(addr);
        }
    }
}

impl ServerRecorder<'_> {
    fn note_failed(
        self,
        upstream: &Upstream,
        endpoint: &Endpoint,
        failure: ConnectFailure,
        error: &ConnectError,
    ) {
        let counter = match failure {
            ConnectFailure::Timeout => &self.counters.connect_timeouts,
            _ => &self.counters.connect_failures,
        };
        counter.increment();
        let event = FailureEvent {
            upstream: Some(upstream.shared_name()),
            backend: Some(endpoint.clone()),
            error: Some(error),
            ..FailureEvent::default()
        };
        self.failures.record(Failure::Connect(failure), &event);
    }
}

impl From<&ConnectError> for ConnectFailure {
    fn from(error: &ConnectError) -> Self {
        match error {
            ConnectError::Backend(..) => Self::Backend,
            ConnectError::Local(..) => Self::Local,
            ConnectError::Loop => Self::Loop,
            ConnectError::Shortage(..) => Self::Shortage,
            ConnectError::Timeout(_) => Self::Timeout,
        }
    }
}
