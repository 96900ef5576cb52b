//! The state of a pool at one moment.

use std::sync::Arc;

use lb_core::{BackendSet, BackendStatus, Timestamp};
use lb_discovery::SourceStatus;

use crate::upstream::Upstream;

/// The state of a [`Pool`](crate::Pool) at one moment.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct PoolStatus {
    /// Whether the first membership is known.
    pub is_ready: bool,
    /// Its sources in their order. None for a fixed pool.
    pub sources: Vec<SourceStatus>,
    set: Arc<BackendSet>,
    now: Timestamp,
}

impl PoolStatus {
    pub(super) fn of(upstream: &Upstream) -> Self {
        Self {
            is_ready: upstream.is_ready(),
            sources: upstream.discovery().sources,
            set: upstream.backends(),
            now: upstream.now(),
        }
    }

    /// The backends in the order of their sources: connections in flight, failures, ejections, health.
    pub fn backends(&self) -> impl Iterator<Item = BackendStatus<'_>> {
        self.set.status(self.now)
    }

    /// How many backends could be picked now, apart from their limits of connections.
    pub fn eligible(&self) -> usize {
        let eligible = |one: &BackendStatus<'_>| {
            one.backend.takes_connections()
                && one.ejected_until.is_none()
                && one.health == lb_core::Health::Healthy
        };
        self.backends().filter(eligible).count()
    }
}

#[cfg(feature = "serde")]
#[derive(serde::Serialize)]
struct StatusForm<'a> {
    is_ready: bool,
    eligible: usize,
    sources: &'a [SourceStatus],
    backends: Vec<BackendStatus<'a>>,
}

/// `is_ready`, `eligible`, `sources` and `backends`.
#[cfg(feature = "serde")]
impl serde::Serialize for PoolStatus {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = StatusForm {
            is_ready: self.is_ready,
            eligible: self.eligible(),
            sources: &self.sources,
            backends: self.backends().collect(),
        };
        form.serialize(serializer)
    }
}
