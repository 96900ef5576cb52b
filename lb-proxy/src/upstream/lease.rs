//! A backend's connection in flight.

use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::{Backend, Endpoint, FailureEffect, Pick, Timestamp};

use super::Upstream;
use crate::attempt_times::AttemptTimes;

/// A backend's connection in flight. When it ends, the first session in the wait queue gets it.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) held: Held,
    /// The upstream, if it has a wait queue: the end of the lease serves the queue.
    pub(super) queue: Option<Upstream>,
}

/// What a lease holds of its backend.
#[derive(Debug)]
pub(super) enum Held {
    /// A connection in flight.
    Pick(Pick),
    /// A connection in flight whose times the policy weighs.
    Timed(Box<TimedPick>),
    /// No connection any more, only the backend's description.
    Ended(Arc<Backend>),
    /// Nothing. Only while a lease is dropped.
    Nothing,
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

impl Held {
    fn pick(&self) -> Option<&Pick> {
        match self {
            Self::Pick(pick) => Some(pick),
            Self::Timed(timed) => Some(&timed.pick),
            Self::Ended(_) | Self::Nothing => None,
        }
    }
}

impl Lease {
    pub(crate) fn addr(&self) -> SocketAddr {
        match &self.held {
            Held::Pick(pick) => pick.addr(),
            Held::Timed(timed) => timed.pick.addr(),
            Held::Ended(backend) => backend.addr,
            Held::Nothing => unreachable!("held until dropped"),
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
        match &self.held {
            Held::Pick(pick) => pick.backend(),
            Held::Timed(timed) => timed.pick.backend(),
            Held::Ended(backend) => Arc::clone(backend),
            Held::Nothing => unreachable!("held until dropped"),
        }
    }

    /// What is kept of the backend besides its state. `None` if the lease has ended.
    pub(super) fn data<T: Send + Sync + 'static>(
        &self,
        create: impl FnOnce(&Arc<Backend>) -> Arc<T>,
    ) -> Option<Arc<T>> {
        self.held.pick()?.data(create)
    }

    /// Updates the backend's state: a connection was established.
    pub(super) fn report_connected(&self, now: Timestamp) {
        if let Some(pick) = self.held.pick() {
            pick.connected(now);
        }
        if let Held::Timed(timed) = &self.held {
            timed.times.0.connected(now);
        }
    }

    /// The times of the attempt, if the relay has to report the first byte of the backend.
    pub(crate) fn first_byte_times(&self) -> Option<Arc<AttemptTimes>> {
        match &self.held {
            Held::Timed(timed) if timed.times.0.needs_first_byte() => {
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
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Pick(pick) => failed(pick),
            Held::Timed(timed) => {
                timed.times.0.failed(now);
                failed(timed.pick)
            }
            Held::Ended(_) | Held::Nothing => unreachable!("only an established connection ends"),
        }
    }

    /// Ends the lease before its session: the connection no longer counts, and the backend's description stays known.
    pub(crate) fn end(&mut self) {
        let Some(pick) = self.held.pick() else {
            return;
        };
        let ended = Held::Ended(pick.backend());
        self.give_back(ended);
    }

    fn give_back(&mut self, rest: Held) {
        let was = std::mem::replace(&mut self.held, rest);
        if matches!(was, Held::Ended(_)) {
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
        self.give_back(Held::Nothing);
    }
}
