//! The reasons of the end of a connection.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a connection ended.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum CloseReason {
            $($(#[$doc])* $name,)*
        }

        impl CloseReason {
            /// All reasons, in the order of their names.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason in metrics, in snake case. Never changes.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }

        crate::names::text!(CloseReason);
    };
}

reasons! {
    /// The proxy was shut down.
    Aborted = "aborted",
    /// [`Access`](crate::access::Access) denies the client's address.
    AccessDenied = "access_denied",
    /// The local address that the client had connected to has left this machine:
    /// [`orphan_timeout`](crate::ProxyBuilder::orphan_timeout).
    AddressLost = "address_lost",
    /// The backend was removed, and its sessions are ended: [`OnBackendLoss`](crate::balancing::OnBackendLoss).
    BackendRemoved = "backend_removed",
    /// The backend reset its connection.
    BackendReset = "backend_reset",
    /// The backend became unhealthy or was ejected, and its sessions are ended: [`OnBackendLoss`](crate::balancing::OnBackendLoss).
    BackendUnhealthy = "backend_unhealthy",
    /// The client went away before it had a backend.
    ClientGone = "client_gone",
    /// The client opens connections faster than its zone allows.
    ClientRate = "client_rate",
    /// The client reset its connection.
    ClientReset = "client_reset",
    /// The client has as many sessions as it may.
    ClientSessions = "client_sessions",
    /// The zone of clients has no room for another.
    ClientZoneFull = "client_zone_full",
    /// Both sides sent all they had.
    Finished = "finished",
    /// Neither side ever sent anything.
    FirstByteTimeout = "first_byte_timeout",
    /// One side had ended, the other fell silent.
    HalfClosedTimeout = "half_closed_timeout",
    /// Both sides fell silent.
    IdleTimeout = "idle_timeout",
    /// It had lasted as long as it may.
    MaxAge = "max_age",
    /// No backend could take the connection.
    NoBackend = "no_backend",
    /// An operator closed it: [`Handle::close_sessions`](crate::Handle::close_sessions).
    Operator = "operator",
    /// Code of the embedder panicked: a hook, a preread, a function or a policy.
    Panicked = "panicked",
    /// The first bytes were not what the [`Preread`](crate::first_bytes::Preread) wants.
    Preread = "preread",
    /// The first bytes did not come in time.
    PrereadTimeout = "preread_timeout",
    /// The upstream's queue had no room.
    QueueFull = "queue_full",
    /// No backend became free in time.
    QueueTimeout = "queue_timeout",
    /// New connections come faster than the proxy or the listener allows.
    Rate = "rate",
    /// A hook refused it.
    Refused = "refused",
    /// The route [answered](crate::routing::RouteAction::Respond) it.
    Responded = "responded",
    /// The route [refused](crate::routing::RouteAction::Refuse) it, or could not pass it to another listener.
    RouteRefused = "route_refused",
    /// The proxy or the listener has as many sessions as it may.
    Sessions = "sessions",
}

impl CloseReason {
    /// Whether the client got no service, or lost its backend. A client that goes away, a lost address, a time-out of a
    /// session that has a backend, the end of the proxy and an operator's close are no failures.
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
            | Self::Panicked
            | Self::Preread
            | Self::PrereadTimeout
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::Rate
            | Self::Refused
            | Self::RouteRefused
            | Self::Sessions => true,
            Self::Aborted
            | Self::AddressLost
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_the_index_of_itself_in_the_list_of_all() {
        for (i, &reason) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
        assert!(CloseReason::ALL.is_sorted_by_key(|reason| reason.as_str()));
    }
}
