//! Who may have a session: limits on how many, how fast, and from where.
//!
//! [`Ceiling`] is what a [`Limits`] becomes at work; every accept loop of a listener asks the same ones.

mod access;
mod clients;
mod gate;
mod rate;

use std::num::NonZeroUsize;
use std::sync::Arc;

pub use access::Access;
pub(crate) use clients::{ClientPermit, ClientRefusal};
pub use clients::{ClientZone, ClientZoneBuilder};
pub(crate) use gate::Gate;
pub(crate) use rate::Bucket;
pub use rate::Rate;

/// How many sessions may be open and how fast new ones may come, for a proxy or one listener.
///
/// Everything is unlimited by default, but for the descriptors that the process may have.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// Sessions at a time. Default: no limit.
    pub sessions: Option<NonZeroUsize>,
    /// New connections over time. Default: no limit.
    pub rate: Option<Rate>,
    /// What happens to a connection above one of these. Default: [`Excess::Wait`].
    pub excess: Excess,
}

impl Limits {
    /// Sets [`sessions`](Self::sessions).
    #[must_use]
    pub fn sessions(mut self, sessions: Option<NonZeroUsize>) -> Self {
        self.sessions = sessions;
        self
    }

    /// Sets [`rate`](Self::rate).
    #[must_use]
    pub fn rate(mut self, rate: Option<Rate>) -> Self {
        self.rate = rate;
        self
    }

    /// Sets [`excess`](Self::excess).
    #[must_use]
    pub fn excess(mut self, excess: Excess) -> Self {
        self.excess = excess;
        self
    }
}

/// What happens to a connection above a limit.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Excess {
    /// It is reset.
    Refuse,
    /// Accepting pauses, so that it waits in the kernel's queue, as with HAProxy's `maxconn`. What does not fit there
    /// is retried by the client's kernel.
    #[default]
    Wait,
}

/// A [`Limits`] at work.
#[derive(Debug)]
pub(crate) struct Ceiling {
    limits: Limits,
    pub(crate) sessions: Option<Arc<Gate>>,
    pub(crate) rate: Option<Arc<Bucket>>,
    pub(crate) excess: Excess,
}

impl Ceiling {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            sessions: limits.sessions.map(|sessions| match limits.excess {
                Excess::Refuse => Arc::new(Gate::exact(sessions.get())),
                Excess::Wait => Arc::new(Gate::new(sessions.get())),
            }),
            rate: limits.rate.map(|rate| Arc::new(Bucket::new(rate))),
            excess: limits.excess,
        }
    }

    /// What follows this one with other limits. It goes on counting the sessions that this one counted, and the
    /// connections of a rate that stays.
    pub(crate) fn changed(&self, limits: Limits) -> Self {
        let mut next = Self::new(limits);
        if let (Some(old), Some(new)) = (&self.sessions, &mut next.sessions) {
            old.adjust(new);
            *new = Arc::clone(old);
        }
        if limits.rate == self.limits.rate {
            next.rate.clone_from(&self.rate);
        }
        next
    }
}
