//! The kinds of failures that are reported.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::Endpoint;

use crate::close_reason::CloseReason;

/// What failed, and why.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Failure {
    /// Accepting pauses.
    Accept(AcceptPause),
    /// The admin server refused a request or a client, for this reason.
    #[cfg(feature = "admin")]
    Admin(&'static str),
    /// A client was refused, or lost its backend.
    Client(CloseReason),
    /// An attempt to connect to a backend failed.
    Connect(ConnectFailure),
    /// This code of the embedder panicked.
    Panic(&'static str),
}

/// Why accepting pauses.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum AcceptPause {
    Rate,
    Sessions,
    Shortage,
}

/// Why an attempt to connect failed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum ConnectFailure {
    Backend,
    Local,
    Loop,
    Shortage,
    Timeout,
}

/// One failure. Unknown fields are `None`.
#[derive(Clone, Default)]
pub(crate) struct FailureEvent<'a> {
    pub(crate) listener: Option<Endpoint>,
    pub(crate) upstream: Option<&'a Arc<str>>,
    pub(crate) client: Option<SocketAddr>,
    pub(crate) backend: Option<Endpoint>,
    pub(crate) error: Option<&'a dyn Display>,
}

/// Failures of one kind are counted together.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct FailureKind {
    pub(super) failure: Failure,
    pub(super) listener: Option<Endpoint>,
    pub(super) upstream: Option<Arc<str>>,
}
