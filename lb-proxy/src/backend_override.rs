//! Overrides: settings of a backend by operators and agent checks, above those of its source.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use lb_core::{AdminState, Backend, Endpoint, Weight};

/// A setting of one backend that replaces what its source reports.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Override {
    /// Whether it takes new connections. [`AdminState::Ready`] also replaces the drain of a source or of an origin of lower
    /// precedence.
    #[doc(alias = "set server state")]
    Admin(AdminState),
    /// The most connections in flight. `None`: no limit.
    #[doc(alias = "set server maxconn")]
    MaxConns(Option<NonZeroU32>),
    /// Its share among the backends of its priority.
    #[doc(alias = "set server weight")]
    Weight(WeightOverride),
}

/// A weight, or a part of the weight that the source reports.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WeightOverride {
    /// So many percent of the source's weight, rounded up, so that only 0 % and a source's 0 are 0. At most 65535.
    ///
    /// Weights are whole numbers, so 1 to 99 percent of a weight of 1 are 1: give backends weights such as 100 where
    /// percentages are to act. HAProxy rounds as well.
    Percent(u16),
    /// This weight.
    Value(Weight),
}

/// Which setting an [`Override`] replaces.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum OverrideKind {
    /// [`Override::Admin`].
    Admin,
    /// [`Override::MaxConns`].
    MaxConns,
    /// [`Override::Weight`].
    Weight,
}

crate::names::names!(OverrideKind {
    Admin = "admin",
    MaxConns = "max_conns",
    Weight = "weight",
});

/// What sets an [`Override`], in ascending precedence. Each kind of setting is taken from the highest origin that has one.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum OverrideOrigin {
    /// What a health check reads from the answer of the backend, as
    /// [`NodePortCheck`](crate::health::NodePortCheck) does. Forgotten when the backend leaves the membership.
    HealthCheck,
    /// What the backend reports of itself to a check. Forgotten when the backend leaves the membership.
    AgentCheck,
    /// A person, or a program that acts for one. Kept while the backend is absent.
    Operator,
}

crate::names::list!(OverrideOrigin {
    HealthCheck = "health_check",
    AgentCheck = "agent_check",
    Operator = "operator",
});

/// An [`Override`] in force or of lower precedence than another one.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ActiveOverride {
    /// The backend's address, or the key of its path.
    pub addr: SocketAddr,
    /// Where sessions connect to it.
    pub endpoint: Endpoint,
    /// The setting.
    pub setting: Override,
    /// What set it.
    pub origin: OverrideOrigin,
    /// The person, program or check, as the caller named it.
    pub by: Arc<str>,
    /// When it got this value.
    pub since: SystemTime,
    /// Whether no origin of higher precedence replaces it.
    pub in_force: bool,
}

/// What a check reports of a backend: an override, or the end of one of this kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ReportedOverride {
    pub(crate) addr: SocketAddr,
    pub(crate) setting: Result<Override, OverrideKind>,
}

/// A percentage that a check reported and that leaves the weight of the source as it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OverrideWithoutEffect {
    pub(crate) endpoint: Endpoint,
    pub(crate) setting: Override,
    pub(crate) weight: Weight,
}

/// No backend of the upstream has this address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no backend of this upstream has the address {addr}")]
#[non_exhaustive]
pub struct UnknownBackend {
    /// The address.
    pub addr: SocketAddr,
}

impl OverrideWithoutEffect {
    /// The report that `setting` does not change `backend`, as its source reports it. `None` if it does.
    pub(crate) fn of(backend: &Backend, setting: Override) -> Option<Self> {
        setting.is_without_effect(backend.weight).then(|| Self {
            endpoint: backend.endpoint(),
            setting,
            weight: backend.weight,
        })
    }
}

impl Override {
    /// Which setting it replaces.
    pub const fn kind(self) -> OverrideKind {
        match self {
            Self::Admin(_) => OverrideKind::Admin,
            Self::MaxConns(_) => OverrideKind::MaxConns,
            Self::Weight(_) => OverrideKind::Weight,
        }
    }

    /// Whether it is a percentage other than 100 that leaves the weight `source` as it is.
    fn is_without_effect(self, source: Weight) -> bool {
        match self {
            Self::Weight(part @ WeightOverride::Percent(percent)) => {
                percent != 100 && source.get() != 0 && part.of(source) == source
            }
            _ => false,
        }
    }

    pub(crate) fn apply(self, backend: &mut Backend) {
        match self {
            Self::Admin(admin) => backend.admin = admin,
            Self::MaxConns(limit) => backend.max_conns = limit,
            Self::Weight(weight) => backend.weight = weight.of(backend.weight),
        }
    }
}

impl WeightOverride {
    fn of(self, source: Weight) -> Weight {
        match self {
            Self::Percent(percent) => {
                let product = u32::from(source.get()) * u32::from(percent);
                let weight = u16::try_from(product.div_ceil(100));
                Weight::new(weight.unwrap_or(u16::MAX))
            }
            Self::Value(weight) => weight,
        }
    }
}

/// As in `drain`, `ready`, `weight 5`, `weight 50%`, `max_conns 100`, `max_conns unlimited`.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin(AdminState::Drain) => f.write_str("drain"),
            Self::Admin(_) => f.write_str("ready"),
            Self::MaxConns(Some(limit)) => write!(f, "max_conns {limit}"),
            Self::MaxConns(None) => f.write_str("max_conns unlimited"),
            Self::Weight(WeightOverride::Percent(percent)) => write!(f, "weight {percent}%"),
            Self::Weight(WeightOverride::Value(weight)) => write!(f, "weight {}", weight.get()),
        }
    }
}

crate::names::serialize!(OverrideOrigin);

impl fmt::Display for OverrideOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HealthCheck => "health check",
            Self::AgentCheck => "agent check",
            Self::Operator => "operator",
        })
    }
}

#[cfg(test)]
mod tests;
