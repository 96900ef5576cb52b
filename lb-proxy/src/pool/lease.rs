//! A backend that was picked from a pool.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{Backend, Endpoint, FailureEffect};

use crate::upstream::{Lease, Upstream};

/// A backend that was picked from a [`Pool`](crate::Pool), and one of its connections or requests in flight. Dropping it ends
/// that.
///
/// What happened is reported to it: [`connected`](Self::connected) or [`observe`](Self::observe) after a success,
/// [`failed`](Self::failed) or [`unanswered`](Self::unanswered) after a failure. Without a report neither counts.
#[derive(Debug)]
#[must_use = "dropping a lease ends it: the connection no longer counts"]
pub struct PoolLease {
    lease: Lease,
    upstream: Upstream,
}

impl PoolLease {
    pub(super) const fn new(lease: Lease, upstream: Upstream) -> Self {
        Self { lease, upstream }
    }

    /// The address to connect to; a [key](Endpoint::unix_key) for a unix socket.
    pub fn addr(&self) -> SocketAddr {
        self.lease.addr()
    }

    /// Where to connect to.
    pub fn endpoint(&self) -> Endpoint {
        self.lease.endpoint()
    }

    /// The backend, as its source described it last.
    pub fn backend(&self) -> Arc<Backend> {
        self.lease.backend()
    }

    /// Reports that the connection was established now. The time since the pick is a sample of the backend's connect time.
    /// Its failures are forgiven as [`FailLimit`](lb_core::FailLimit) says.
    pub fn connected(&self) {
        self.lease.connected(&self.upstream, self.upstream.now());
    }

    /// Reports that the backend answered after `latency`, measured by the caller: a success, with `latency` as the sample that
    /// [`P2c::peak_ewma`](lb_core::policy::P2c::peak_ewma) weighs in the place of the connect time. For requests over
    /// connections that are open already. May be called for each answer.
    pub fn observe(&self, latency: Duration) {
        self.lease.observed(&self.upstream, latency);
    }

    /// Reports that the backend refused or failed: the connection was refused or reset, or the answer was an error that is its
    /// fault. Ends the lease, hints the sources to look again, and may eject the backend.
    pub fn failed(self) -> FailureEffect {
        self.blame(false)
    }

    /// Reports that nothing answered: a time-out, no route, no such host. As [`failed`](Self::failed), unless the path to all
    /// backends is gone: see [`CommonOutage`](lb_core::CommonOutage).
    pub fn unanswered(self) -> FailureEffect {
        self.blame(true)
    }

    fn blame(self, is_unanswered: bool) -> FailureEffect {
        let Self { lease, upstream } = self;
        let reason = match is_unanswered {
            true => "the program reported that nothing answered",
            false => "the program reported a failure",
        };
        match lease.blame(&upstream, is_unanswered, &reason) {
            true => FailureEffect::Ejected,
            false => FailureEffect::Counted,
        }
    }
}
