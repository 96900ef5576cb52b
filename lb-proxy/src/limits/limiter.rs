//! The counters behind a [`Limits`].

use std::sync::Arc;

use super::rate::TokenBucket;
use super::session_limit::SessionLimit;
use super::{Excess, Limits};

/// Counts sessions and new connections against a [`Limits`]. All accept loops that the limits concern share it.
#[derive(Debug)]
pub(crate) struct Limiter {
    limits: Limits,
    pub(crate) sessions: Option<Arc<SessionLimit>>,
    pub(crate) rate: Option<Arc<TokenBucket>>,
    pub(crate) excess: Excess,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            sessions: limits.sessions.map(|sessions| match limits.excess {
                Excess::Refuse => Arc::new(SessionLimit::exact(sessions)),
                Excess::Wait => Arc::new(SessionLimit::with_hysteresis(sessions)),
            }),
            rate: limits.rate.map(|rate| Arc::new(TokenBucket::new(rate))),
            excess: limits.excess,
        }
    }

    /// What it counts against.
    pub(crate) const fn limits(&self) -> Limits {
        self.limits
    }

    /// The limit on open sessions.
    pub(crate) fn session_limit(&self) -> Option<(&SessionLimit, Excess)> {
        Some((self.sessions.as_deref()?, self.excess))
    }

    /// The limit on the rate of new connections.
    pub(crate) fn rate_limit(&self) -> Option<(&TokenBucket, Excess)> {
        Some((self.rate.as_deref()?, self.excess))
    }

    /// A limiter of `limits` that goes on counting the open sessions of this one. It also keeps the tokens of this one if
    /// the rate is equal.
    pub(crate) fn with_limits(&self, limits: Limits) -> Self {
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
