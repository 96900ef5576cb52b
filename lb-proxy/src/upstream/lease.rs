//! A backend's connection in flight.

use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::{Backend, Endpoint, FailureEffect, Pick, Timestamp};

use super::Upstream;
use crate::attempt_times::AttemptTimes;

/// A backend's connection in flight. When it ends, the first session in the wait queue gets it.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) state: LeaseState,
    /// The upstream, if it has a wait queue: the end of the lease serves the queue.
    pub(super) queue: Option<Upstream>,
}

/// How far a lease has come, and what it holds of its backend.
#[derive(Debug)]
pub(super) enum LeaseState {
    /// A connection in flight.
    Pick(Pick),
    /// A connection in flight whose times the policy weighs.
    Timed(Box<TimedPick>),
    /// No connection any more, only the backend's description.
    Ended(Arc<Backend>),
    /// It holds nothing, because it is being dropped.
    Dropped,
}

/// A connection in flight and its times.
#[derive(Debug)]
pub(super) struct TimedPick {
    pub(super) times: RunningTimes,
    pub(super) pick: Pick,
}

/// Times that end when they are dropped.
#[derive(Debug)]
pub(super) struct RunningTimes(pub(super) Arc<AttemptTimes>);

impl Drop for RunningTimes {
    fn drop(&mut self) {
        self.0.ended();
    }
}

impl LeaseState {
    fn pick(&self) -> Option<&Pick> {
        match self {
            Self::Pick(pick) => Some(pick),
            Self::Timed(timed) => Some(&timed.pick),
            Self::Ended(_) | Self::Dropped => None,
        }
    }
}

impl Lease {
    pub(crate) fn addr(&self) -> SocketAddr {
        match &self.state {
            LeaseState::Pick(pick) => pick.addr(),
            LeaseState::Timed(timed) => timed.pick.addr(),
            LeaseState::Ended(backend) => backend.addr,
            LeaseState::Dropped => unreachable!("only a lease that is dropped holds nothing"),
        }
    }

    /// Where to connect to. Costs a look at the backend's description for a unix socket only.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let addr = self.addr();
        match Endpoint::is_unix_key(addr) {
            true => self.backend().endpoint(),
            false => Endpoint::Tcp(addr),
        }
    }

    pub(crate) fn backend(&self) -> Arc<Backend> {
        match &self.state {
            LeaseState::Pick(pick) => pick.backend(),
            LeaseState::Timed(timed) => timed.pick.backend(),
            LeaseState::Ended(backend) => Arc::clone(backend),
            LeaseState::Dropped => unreachable!("only a lease that is dropped holds nothing"),
        }
    }

    /// What is kept of the backend besides its state. `None` if the lease has ended.
    pub(super) fn data<T: Send + Sync + 'static>(
        &self,
        create: impl FnOnce(&Arc<Backend>) -> Arc<T>,
    ) -> Option<Arc<T>> {
        self.state.pick()?.data(create)
    }

    /// Updates the backend's state: a connection was established.
    pub(super) fn report_connected(&self, now: Timestamp) {
        if let Some(pick) = self.state.pick() {
            pick.connected(now);
        }
        if let LeaseState::Timed(timed) = &self.state {
            timed.times.0.connected(now);
        }
    }

    /// The times of the attempt, if the relay has to report the first byte of the backend.
    pub(crate) fn first_byte_times(&self) -> Option<Arc<AttemptTimes>> {
        match &self.state {
            LeaseState::Timed(timed) if timed.times.0.needs_first_byte() => {
                Some(Arc::clone(&timed.times.0))
            }
            _ => None,
        }
    }

    /// Updates the backend's state: the attempt failed, and the backend is to blame, or the path to it if `is_unanswered`.
    pub(super) fn report_failed(mut self, is_unanswered: bool, now: Timestamp) -> FailureEffect {
        let failed = |pick: Pick| match is_unanswered {
            true => pick.unanswered(now),
            false => pick.failed(now),
        };
        match std::mem::replace(&mut self.state, LeaseState::Dropped) {
            LeaseState::Pick(pick) => failed(pick),
            LeaseState::Timed(timed) => {
                timed.times.0.failed(now);
                failed(timed.pick)
            }
            LeaseState::Ended(_) | LeaseState::Dropped => {
                unreachable!("only an established connection ends")
            }
        }
    }

    /// Ends the lease before its session: the connection no longer counts, and the backend's description stays known.
    pub(crate) fn end(&mut self) {
        let Some(pick) = self.state.pick() else {
            return;
        };
        let ended = LeaseState::Ended(pick.backend());
        self.release(ended);
    }

    fn release(&mut self, rest: LeaseState) {
        let was = std::mem::replace(&mut self.state, rest);
        if matches!(was, LeaseState::Ended(_)) {
            return;
        }
        drop(was);
        if let Some(upstream) = &self.queue {
            upstream.serve_queue();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.release(LeaseState::Dropped);
    }
}
