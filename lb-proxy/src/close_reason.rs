//! Why connections end.

/// Why a connection ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum CloseReason {
    /// The proxy was shut down.
    Aborted,
    /// [`Access`](crate::access::Access) denies the client's address.
    AccessDenied,
    /// The backend was removed, and its sessions are ended: [`OnBackendLoss`](crate::balancing::OnBackendLoss).
    BackendRemoved,
    /// The backend reset its connection.
    BackendReset,
    /// The backend became unhealthy or was ejected, and its sessions are ended: [`OnBackendLoss`](crate::balancing::OnBackendLoss).
    BackendUnhealthy,
    /// The client went away before it had a backend.
    ClientGone,
    /// The client opens connections faster than its zone allows.
    ClientRate,
    /// The client reset its connection.
    ClientReset,
    /// The client has as many sessions as it may.
    ClientSessions,
    /// The zone of clients has no room for another.
    ClientZoneFull,
    /// Both sides sent all they had.
    Finished,
    /// Neither side ever sent anything.
    FirstByteTimeout,
    /// One side had ended, the other fell silent.
    HalfClosedTimeout,
    /// Both sides fell silent.
    IdleTimeout,
    /// It had lasted as long as it may.
    MaxAge,
    /// No backend could take the connection.
    NoBackend,
    /// An operator closed it: [`Handle::close_sessions`](crate::Handle::close_sessions).
    Operator,
    /// The first bytes were not what the [`Preread`](crate::first_bytes::Preread) wants.
    Preread,
    /// The first bytes did not come in time.
    PrereadTimeout,
    /// The upstream's queue had no room.
    QueueFull,
    /// No backend became free in time.
    QueueTimeout,
    /// New connections come faster than the proxy or the listener allows.
    Rate,
    /// A hook refused it.
    Refused,
    /// The route [answered](crate::routing::RouteAction::Respond) it.
    Responded,
    /// The route [refused](crate::routing::RouteAction::Refuse) it, or could not pass it to another listener.
    RouteRefused,
    /// The proxy or the listener has as many sessions as it may.
    Sessions,
}

impl CloseReason {
    /// Whether the client got no service, or lost its backend. A client that goes away, a time-out of a session that has a
    /// backend, the end of the proxy and an operator's close are no failures.
    pub const fn is_failure(self) -> bool {
        match self {
            Self::AccessDenied
            | Self::BackendRemoved
            | Self::BackendReset
            | Self::BackendUnhealthy
            | Self::ClientRate
            | Self::ClientSessions
            | Self::ClientZoneFull
            | Self::NoBackend
            | Self::Preread
            | Self::PrereadTimeout
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::Rate
            | Self::Refused
            | Self::RouteRefused
            | Self::Sessions => true,
            Self::Aborted
            | Self::ClientGone
            | Self::ClientReset
            | Self::Finished
            | Self::FirstByteTimeout
            | Self::HalfClosedTimeout
            | Self::IdleTimeout
            | Self::MaxAge
            | Self::Operator
            | Self::Responded => false,
        }
    }
}
