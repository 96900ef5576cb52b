//! The last changes of the backends of an upstream, for status pages.

use std::sync::Arc;
use std::time::SystemTime;

use lb_core::{Endpoint, Health};

use crate::history::History;

/// How many changes are kept of each upstream.
const KEPT: usize = 64;

/// A change of a backend. As data, its time is in seconds since 1970.
#[non_exhaustive]
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Transition {
    /// When it happened.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::history::serialize_time")
    )]
    pub at: SystemTime,
    /// The backend's address or path.
    pub backend: Endpoint,
    /// The backend's name, if it had one.
    pub name: Option<Arc<str>>,
    /// What happened.
    pub kind: TransitionKind,
}

/// What happened to a backend.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransitionKind {
    /// A failure to connect ejected it for some time. The end of that time is no event.
    Ejected,
    /// It became healthy.
    Healthy,
    /// It became unhealthy.
    Unhealthy,
}

crate::names::names!(TransitionKind {
    Ejected = "ejected",
    Healthy = "healthy",
    Unhealthy = "unhealthy",
});

impl From<Health> for TransitionKind {
    fn from(health: Health) -> Self {
        match health {
            Health::Healthy => Self::Healthy,
            _ => Self::Unhealthy,
        }
    }
}

/// The last changes. They outlive the backends.
pub(super) type TransitionHistory = History<Transition, KEPT>;
