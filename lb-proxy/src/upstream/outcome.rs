//! The outcome of an attempt to connect: the one place where it changes state, counters, reports and sources.

use lb_core::FailureEffect;
use tracing::{debug, warn};

use super::Upstream;
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
    pub(crate) counters: &'a Counters,
    pub(crate) failures: &'a FailureReports,
}

impl Lease {
    /// The backend took the connection. That ends its failures in a row, and the drain of its sessions if it was
    /// unhealthy.
    pub(crate) fn connected(&self, recorder: OutcomeRecorder<'_>) {
        let upstream = recorder.upstream;
        self.report_connected(upstream.now());
        upstream.drain().healthy(self.addr());
        upstream.shared().observers.connected();
        upstream.note_forgiven();
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
        let OutcomeRecorder {
            upstream,
            counters,
            failures,
        } = recorder;
        let (addr, endpoint) = (self.addr(), self.endpoint());
        let detailed = upstream.counters();
        let backend = detailed.map(|_| self.backend());
        let failure = ConnectFailure::from(error);
        let counter = match failure {
            ConnectFailure::Timeout => &counters.connect_timeouts,
            _ => &counters.connect_failures,
        };
        counter.increment();
        let event = FailureEvent {
            upstream: Some(upstream.shared_name()),
            backend: Some(endpoint.clone()),
            error: Some(error),
            ..FailureEvent::default()
        };
        failures.record(Failure::Connect(failure), &event);
        debug!(upstream = upstream.name(), backend.addr = %endpoint, %error, "Attempt to connect failed");
        let is_the_backends = match failure {
            ConnectFailure::Backend => true,
            ConnectFailure::Timeout => had_full_time,
            ConnectFailure::Local | ConnectFailure::Loop | ConnectFailure::Shortage => false,
        };
        if !is_the_backends {
            return false;
        }
        upstream.refresh();
        let effect = self.report_failed(error.is_unanswered(), upstream.now());
        upstream.note_forgiven();
        let ejects = effect == FailureEffect::Ejected;
        if ejects {
            counters.ejections.increment();
            if let Some((detailed, backend)) = detailed.zip(backend) {
                detailed.ejected(&backend);
            }
            upstream.drain().unhealthy(addr);
            upstream.record_transition(addr, TransitionKind::Ejected);
            upstream.shared().observers.ejected();
            warn!(upstream = upstream.name(), backend.addr = %endpoint, %error, "Backend ejected");
        }
        ejects
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
