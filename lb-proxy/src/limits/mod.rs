//! Who may have a session: limits on how many, how fast, and from where.
//!
//! [`Ceiling`] is what a [`Limits`] becomes at work; every accept loop of a listener asks the same ones.

mod access;
mod clients;
mod gate;
mod rate;

use std::num::NonZeroUsize;

pub use access::{Access, Network, NetworkError};
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
    pub(crate) sessions: Option<Gate>,
    pub(crate) rate: Option<Bucket>,
    pub(crate) excess: Excess,
}

impl Ceiling {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            sessions: limits.sessions.map(|sessions| match limits.excess {
                Excess::Refuse => Gate::exact(sessions.get()),
                Excess::Wait => Gate::new(sessions.get()),
            }),
            rate: limits.rate.map(Bucket::new),
            excess: limits.excess,
        }
    }
}
