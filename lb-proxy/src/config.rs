//! Settings of a listener's sessions.

use std::num::NonZeroU32;
use std::time::Duration;

/// How long a session may wait for what.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// For one attempt to connect to a backend. Default: 5 s. Raise it only for backends that are far away: while
    /// it runs the client waits, and the next backend is not tried.
    pub connect: Duration,
    /// For a byte in either direction while both are open; then the session ends. Default: 10 minutes, nginx's
    /// `proxy_timeout`. `None` waits for ever, and keeps the sockets of peers that vanished.
    pub idle: Option<Duration>,
    /// For a byte in the direction that is left after the other has ended. Default: 1 minute. Bytes reset it, so a
    /// long answer to a half-closed request goes through.
    pub half_closed: Option<Duration>,
}

impl Timeouts {
    /// Sets [`connect`](Self::connect).
    #[must_use]
    pub fn connect(mut self, timeout: Duration) -> Self {
        self.connect = timeout;
        self
    }

    /// Sets [`idle`](Self::idle).
    #[must_use]
    pub fn idle(mut self, timeout: Option<Duration>) -> Self {
        self.idle = timeout;
        self
    }

    /// Sets [`half_closed`](Self::half_closed).
    #[must_use]
    pub fn half_closed(mut self, timeout: Option<Duration>) -> Self {
        self.half_closed = timeout;
        self
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            idle: Some(Duration::from_secs(600)),
            half_closed: Some(Duration::from_secs(60)),
        }
    }
}

/// When a connection that failed is tried on another backend.
///
/// No backend is tried twice by one session, and none after a byte has been relayed.
#[doc(alias = "proxy_next_upstream")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retry {
    /// Attempts at the most, the first included. Default: `None`, every backend once.
    pub tries: Option<NonZeroU32>,
    /// For all attempts together, and for the first membership where none is known yet. Default: 15 s. `None`
    /// leaves only the time-outs of the attempts, but never waits longer than 60 s for a first membership.
    pub deadline: Option<Duration>,
}

impl Retry {
    /// Sets [`tries`](Self::tries).
    #[must_use]
    pub fn tries(mut self, tries: Option<NonZeroU32>) -> Self {
        self.tries = tries;
        self
    }

    /// Sets [`deadline`](Self::deadline).
    #[must_use]
    pub fn deadline(mut self, deadline: Option<Duration>) -> Self {
        self.deadline = deadline;
        self
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            tries: None,
            deadline: Some(Duration::from_secs(15)),
        }
    }
}
