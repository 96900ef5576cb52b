//! Protocols of listeners, and the routes that each supports.

use std::fmt;

use super::api::GROUP;
use super::api::gateway::{ListenerSpec, RouteGroupKind};

/// A kind of routes that is served.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum RouteKind {
    Tcp,
    Tls,
}

impl RouteKind {
    /// Its name in the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCPRoute",
            Self::Tls => "TLSRoute",
        }
    }

    fn group_kind(self) -> RouteGroupKind {
        RouteGroupKind {
            group: Some(GROUP.to_owned()),
            kind: self.name().to_owned(),
        }
    }
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a listener expects of its connections.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Protocol {
    Http,
    Https,
    /// One that the specification does not have.
    Other,
    Tcp,
    TlsPassthrough,
    TlsTerminate,
    Udp,
}

impl Protocol {
    pub(crate) fn of(listener: &ListenerSpec) -> Self {
        let mode = listener.tls.as_ref().and_then(|tls| tls.mode.as_deref());
        match (&*listener.protocol, mode) {
            ("HTTP", _) => Self::Http,
            ("HTTPS", _) => Self::Https,
            ("TCP", _) => Self::Tcp,
            ("TLS", Some("Passthrough")) => Self::TlsPassthrough,
            ("TLS", _) => Self::TlsTerminate,
            ("UDP", _) => Self::Udp,
            _ => Self::Other,
        }
    }

    /// The routes of its listeners. `None`: the protocol is not supported.
    pub(crate) const fn route_kind(self) -> Option<RouteKind> {
        match self {
            Self::Tcp => Some(RouteKind::Tcp),
            Self::TlsPassthrough => Some(RouteKind::Tls),
            _ => None,
        }
    }

    /// Whether its listeners are distinguished by host names.
    pub(crate) const fn has_hostnames(self) -> bool {
        !matches!(self, Self::Tcp | Self::Udp)
    }

    /// Whether a gateway has or could have a TLS configuration for it.
    pub(crate) const fn is_tls(self) -> bool {
        matches!(
            self,
            Self::Https | Self::TlsPassthrough | Self::TlsTerminate
        )
    }
}

/// The routes that may be attached to a listener by their kind.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct SupportedKinds {
    pub(crate) kind: Option<RouteKind>,
    /// Kinds that the listener allows and that cannot be served.
    pub(crate) invalid: Vec<String>,
}

impl SupportedKinds {
    pub(crate) fn of(listener: &ListenerSpec, protocol: Protocol) -> Self {
        let own = protocol.route_kind();
        let allowed = &listener.allowed_routes.kinds;
        if allowed.is_empty() {
            return Self {
                kind: own,
                invalid: Vec::new(),
            };
        }
        let is_own = |one: &RouteGroupKind| {
            let group = one.group.as_deref().unwrap_or(GROUP);
            group == GROUP && own.is_some_and(|own| own.name() == one.kind)
        };
        let invalid = allowed.iter().filter(|one| !is_own(one));
        Self {
            kind: own.filter(|_| allowed.iter().any(is_own)),
            invalid: invalid.map(|one| one.kind.clone()).collect(),
        }
    }

    /// The list as a status has it.
    pub(crate) fn list(&self) -> Vec<RouteGroupKind> {
        self.kind.map(RouteKind::group_kind).into_iter().collect()
    }
}
