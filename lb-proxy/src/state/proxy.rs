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
    /// A proxy with descriptors for `sessions`.
    pub(crate) fn new(sessions: usize, limits: Limits, trackers: &Arc<Trackers>) -> Arc<Self> {
        Arc::new(Self {
            descriptors: Arc::new(SessionLimit::with_hysteresis(sessions)),
            limiter: Limiter::new(limits),
            clock: Clock::start(),
            trackers: Arc::clone(trackers),
        })
    }

    /// This state with other limits. They go on counting the open sessions.
    pub(crate) fn with_limits(&self, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            descriptors: Arc::clone(&self.descriptors),
            limiter: self.limiter.with_limits(limits),
            clock: self.clock,
            trackers: Arc::clone(&self.trackers),
        })
    }

    /// Changes for how many sessions there are descriptors. Open sessions stay open.
    pub(crate) fn set_descriptors(&self, sessions: usize) {
        self.descriptors
            .adjust(&SessionLimit::with_hysteresis(sessions));
    }

    /// The [limit](Limits::sessions) on open sessions.
    pub(crate) fn session_limit(&self) -> Option<u64> {
        self.limiter.sessions.as_deref().map(SessionLimit::max)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
