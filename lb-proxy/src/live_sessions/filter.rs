//! The filter of a query.

use std::net::SocketAddr;
use std::time::Duration;

use lb_core::Endpoint;
use lb_discovery::Network;

use super::phase::SessionPhase;
use super::report::SessionReport;
use crate::session_id::SessionId;

/// Selects live sessions: those that meet every condition, in an order, at most a number of them.
///
/// Default: all sessions, the oldest first, without a limit.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct SessionFilter {
    id: Option<SessionId>,
    upstream: Option<Box<str>>,
    backend: Option<SocketAddr>,
    listener: Option<SocketAddr>,
    client: Option<Network>,
    phase: Option<SessionPhase>,
    min_age: Option<Duration>,
    bytes: Option<u64>,
    pub(super) order: SessionOrder,
    pub(super) limit: Option<usize>,
}

/// The order of a list of sessions.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SessionOrder {
    /// The oldest first. The default.
    #[default]
    Oldest,
    /// The youngest first.
    Youngest,
    /// Those that have moved the most bytes first.
    MostBytes,
}

crate::names::names!(SessionOrder {
    Oldest = "oldest",
    Youngest = "youngest",
    MostBytes = "most_bytes",
});

crate::names::from_name!(SessionOrder);

impl SessionFilter {
    /// All sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only the session with this number.
    pub fn id(mut self, id: SessionId) -> Self {
        self.id = Some(id);
        self
    }

    /// Only sessions of the upstream with this name.
    pub fn upstream(mut self, name: &str) -> Self {
        self.upstream = Some(name.into());
        self
    }

    /// Only sessions that are connected or connect to the backend at `addr`, for a unix socket the
    /// [key](Endpoint::unix_key) of its path.
    pub fn backend(mut self, addr: SocketAddr) -> Self {
        self.backend = Some(addr);
        self
    }

    /// Only sessions of the listener with this bound address, for a unix socket the [key](Endpoint::unix_key) of its path.
    pub fn listener(mut self, addr: SocketAddr) -> Self {
        self.listener = Some(addr);
        self
    }

    /// Only sessions of clients in `network`. Clients on unix sockets are in none.
    pub fn client(mut self, network: Network) -> Self {
        self.client = Some(network);
        self
    }

    /// Only sessions in this phase.
    pub fn phase(mut self, phase: SessionPhase) -> Self {
        self.phase = Some(phase);
        self
    }

    /// Only sessions that were accepted at least `age` ago.
    pub fn older_than(mut self, age: Duration) -> Self {
        self.min_age = Some(age);
        self
    }

    /// Only sessions that have moved more than `bytes`, both directions together.
    pub fn more_bytes_than(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Sets the order, which also decides which sessions are selected if there is a [limit](Self::limit).
    pub fn order(mut self, order: SessionOrder) -> Self {
        self.order = order;
        self
    }

    /// Selects at most `limit` sessions. Default: no limit.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }
}

impl SessionFilter {
    /// Whether the session meets every condition.
    pub fn matches(&self, session: &SessionReport) -> bool {
        let client = session.client;
        self.id.is_none_or(|id| id == session.id)
            && self.phase.is_none_or(|phase| phase == session.phase)
            && self.listener.is_none_or(|addr| addr == session.listener)
            && self.min_age.is_none_or(|age| session.age >= age)
            && self.bytes.is_none_or(|bytes| session.bytes() > bytes)
            && (self.upstream.is_none() || self.upstream.as_deref() == session.upstream.as_deref())
            && self.backend.is_none_or(|addr| {
                let backend = session.backend.as_ref();
                backend.is_some_and(|backend| backend.addr == addr)
            })
            && self.client.is_none_or(|network| {
                !Endpoint::is_unix_key(client) && network.contains(client.ip())
            })
    }

    /// The session that is asked for by its number.
    pub(crate) const fn asked_id(&self) -> Option<SessionId> {
        self.id
    }
}
