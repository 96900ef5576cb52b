//! Bytes of both directions.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes that the receivers' kernels accepted.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Traffic {
    /// From clients to backends.
    #[cfg_attr(feature = "serde", serde(rename = "to_backend"))]
    pub to_backends: u64,
    /// From backends to clients, and what a route [answers](crate::routing::RouteAction::Respond).
    #[cfg_attr(feature = "serde", serde(rename = "to_client"))]
    pub to_clients: u64,
}

impl Traffic {
    /// The names of the directions in metrics, with their bytes.
    pub const fn iter(&self) -> [(&'static str, u64); 2] {
        [
            ("to_backend", self.to_backends),
            ("to_client", self.to_clients),
        ]
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    ToBackend,
    ToClient,
}

/// Live counts.
#[derive(Debug, Default)]
pub(super) struct LiveTraffic {
    to_backends: AtomicU64,
    to_clients: AtomicU64,
}

impl LiveTraffic {
    pub(super) fn add(&self, direction: Direction, n: u64) {
        let count = match direction {
            Direction::ToBackend => &self.to_backends,
            Direction::ToClient => &self.to_clients,
        };
        count.fetch_add(n, Relaxed);
    }

    pub(super) fn add_to(&self, sum: &mut Traffic) {
        sum.to_backends += self.to_backends.load(Relaxed);
        sum.to_clients += self.to_clients.load(Relaxed);
    }
}
