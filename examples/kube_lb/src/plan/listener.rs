//! A listener of the plan: an address, a port, and its routes.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::target::{NamedTargets, Targets};
use crate::addresses::Owner;
use crate::objects::ObjectName;

/// What is served at an address and port.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerPlan {
    /// The object that it is served for.
    pub owner: Owner,
    /// The part of the object, such as `port http`, for messages.
    pub part: String,
    /// The routes that get connections, in their order; none for a Service.
    pub routes: Vec<RouteName>,
    /// Where connections go.
    pub routing: Routing,
    /// The settings of sessions.
    pub sessions: SessionPlan,
}

/// A route of the Gateway API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteName {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace and name.
    pub name: ObjectName,
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name } = self;
        write!(f, "{kind} {name}")
    }
}

/// Where the connections of a listener go.
#[derive(Clone, Debug, PartialEq)]
pub enum Routing {
    /// All to these targets. The session never waits for the client's bytes.
    Plain(Targets),
    /// By the server name that the client's TLS requests (SNI), which is passed on unread otherwise.
    Tls {
        /// The targets of each name. The most specific name counts.
        names: Vec<NamedTargets>,
        /// The targets of all other names, and of clients without one. `None`: these are refused.
        other: Option<Targets>,
    },
}

impl Routing {
    /// All targets.
    pub fn targets(&self) -> impl Iterator<Item = &Targets> {
        let (plain, names, other) = match self {
            Self::Plain(targets) => (Some(targets), &[][..], None),
            Self::Tls { names, other } => (None, &names[..], other.as_ref()),
        };
        let named = names.iter().map(|named| &named.targets);
        plain.into_iter().chain(named).chain(other)
    }

    /// The upstreams of all targets.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<str>> {
        self.targets().flat_map(Targets::upstreams)
    }
}

/// The settings of the sessions of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionPlan {
    /// The clients that are served. `None`: all.
    pub sources: Option<Vec<IpNet>>,
    /// The sessions of one client at a time.
    pub client_sessions: Option<NonZeroU32>,
    /// The new connections of one client a second.
    pub client_rate: Option<NonZeroU32>,
    /// The time for one attempt to connect to a backend.
    pub connect_timeout: Duration,
    /// The time for which a session may be silent. `None`: no limit.
    pub idle_timeout: Option<Duration>,
    /// How many backends a session tries. `None`: each once.
    pub tries: Option<NonZeroU32>,
    /// The time for which sessions may go on after the listener was removed. `None`: until they end.
    pub removal_deadline: Option<Duration>,
}

impl Default for SessionPlan {
    fn default() -> Self {
        Self {
            sources: None,
            client_sessions: None,
            client_rate: None,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Some(Duration::from_secs(600)),
            tries: None,
            removal_deadline: None,
        }
    }
}
