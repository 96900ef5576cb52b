//! Hooks: what an embedder observes of each connection.

use std::fmt;
use std::time::Duration;

use lb_core::Backend;

use crate::close_reason::CloseReason;
use crate::connection::Connection;

/// Observes the connections of the listeners that have it, and may refuse them; see
/// [`Listener::hooks`](crate::Listener::hooks).
///
/// Hooks do not choose: the upstream is [the listener's route](crate::Listener::route), and what hashing policies hash is
/// [the upstream's key](crate::UpstreamBuilder::hash_key). Every method has a default that does nothing. All run on the
/// connection's task and delay the other sessions of its worker, so they must not block. A listener without hooks
/// pays one branch for each.
pub trait Hooks: fmt::Debug + Send + Sync + 'static {
    /// A connection was accepted and is within the limits. Refusing resets it.
    fn accept(&self, connection: &Connection) -> Admission {
        let _ = connection;
        Admission::Admit
    }

    /// An attempt to connect to a backend ended.
    fn attempt(&self, connection: &Connection, attempt: &Attempt<'_>) {
        let _ = (connection, attempt);
    }

    /// The session is connected to its backend; bytes flow from now on.
    fn connected(&self, connection: &Connection, backend: &Backend) {
        let _ = (connection, backend);
    }

    /// The connection ended, for any reason. Called once for each that was accepted, those refused included.
    fn close(&self, connection: &Connection, summary: &Summary<'_>) {
        let _ = (connection, summary);
    }
}

/// Whether a connection is served.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// It is served.
    Admit,
    /// It is reset.
    Refuse,
}

/// One attempt to connect to a backend.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The backend.
    pub backend: &'a Backend,
    /// Its outcome.
    pub outcome: AttemptOutcome,
    /// How long it took.
    pub elapsed: Duration,
}

/// The outcome of an attempt to connect.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AttemptOutcome {
    /// The client closed or reset its connection during the attempt.
    Abandoned,
    /// The connection is established.
    Connected,
    /// The backend refused, reset or cannot be reached. Counts as a failure of the backend.
    Failed,
    /// This machine lacks a descriptor, memory, a source port or a source address. Does not count against the backend.
    Local,
    /// No answer in time. Counts as a failure of the backend if the attempt lasted for the whole of
    /// [`Timeouts::connect`](crate::Timeouts::connect).
    Timeout,
}

/// The summary of a connection that ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// Why it ended.
    pub reason: CloseReason,
    /// The backend that it was connected to, if any.
    pub backend: Option<&'a Backend>,
    /// Attempts to connect to a backend.
    pub attempts: u32,
    /// From accepting to the end.
    pub elapsed: Duration,
    /// From accepting to the connection with the backend, if there was one.
    pub connected_after: Option<Duration>,
    /// Bytes from the client to the backend.
    pub bytes_to_backend: u64,
    /// Bytes from the backend to the client.
    pub bytes_to_client: u64,
}
