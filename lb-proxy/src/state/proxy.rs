//! State that all listeners of a proxy share.

use std::sync::Arc;

use lb_core::Timestamp;

use super::trackers::Trackers;
use crate::clock::Clock;
use crate::limits::Limits;
use crate::limits::limiter::Limiter;
use crate::limits::session_limit::SessionLimit;

/// The limits and the trackers of a whole proxy.
#[derive(Debug)]
pub(crate) struct ProxyState {
    /// Sessions that the process has descriptors for.
    pub(super) descriptors: Arc<SessionLimit>,
    pub(super) limiter: Limiter,
    clock: Clock,
    pub(super) trackers: Arc<Trackers>,
}

impl ProxyState {
    /// A proxy with the limit on the sessions of the process.
    pub(crate) fn new(
        descriptors: Arc<SessionLimit>,
        limits: Limits,
        trackers: &Arc<Trackers>,
    ) -> Arc<Self> {
        Arc::new(Self {
            descriptors,
            limiter: Limiter::new(limits),
            clock: Clock::start(),
            trackers: Arc::clone(trackers),
        })
    }

    /// This state with other limits, which go on counting the open sessions. The same one if the limits are equal.
    pub(crate) fn with_limits(self: &Arc<Self>, limits: Limits) -> Arc<Self> {
        if limits == self.limiter.limits() {
            return Arc::clone(self);
        }
        Arc::new(Self {
            descriptors: Arc::clone(&self.descriptors),
            limiter: self.limiter.with_limits(limits),
            clock: self.clock,
            trackers: Arc::clone(&self.trackers),
        })
    }

    /// The [limit](Limits::sessions) on open sessions.
    pub(crate) fn session_limit(&self) -> Option<u64> {
        self.limiter.sessions.as_deref().map(SessionLimit::max)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
