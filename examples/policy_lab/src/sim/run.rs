//! The results of a simulation.

use std::time::Duration;

use super::keys::Move;

/// The results of a scenario under one policy.
///
/// The figures cover the time after the warm-up, except where noted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// The label of the variant; the policy's name if it has no settings.
    pub label: String,
    /// Connections that arrived, the warm-up included.
    pub arrivals: u64,
    /// Connections that ended after their service, the warm-up included.
    pub served: u64,
    /// Connections that found no backend, the warm-up included.
    pub lost: u64,
    /// Attempts to connect that failed, the warm-up included.
    pub failed_attempts: u64,
    /// Connections in flight by the balancer's count at the end of the simulation. Always 0.
    pub left_in_flight: u64,
    /// The median latency of served connections; `None` if none was served. Lost connections are not included, so a
    /// policy that loses many may seem fast.
    pub p50: Option<Duration>,
    /// The 99th percentile, likewise.
    pub p99: Option<Duration>,
    /// The 99.9th percentile, likewise.
    pub p999: Option<Duration>,
    /// The most connections that one backend held.
    pub max_in_flight: u32,
    /// The part of all connections that reached another backend than the weights say: half the sum of the differences.
    pub share_error: f64,
    /// Of the connections of returning clients, the part that reached another backend than the last one did.
    pub sent_elsewhere: f64,
    /// The mean over all changes of membership of the part of the keys that moved; `None` without a change.
    pub keys_moved: Option<f64>,
    /// The part of the keys that moved without a change. Above zero, the policy reads more than keys, such as the load.
    pub keys_moved_idle: f64,
    /// The keys moved by each change.
    pub(crate) moves: Vec<Move>,
    /// For each backend and each of 60 parts of the time: its share over the share of its weight.
    pub(crate) shares: Vec<Vec<Option<f64>>>,
    /// For each backend and part: connections in flight on average; `None` while it is not a member and holds none.
    pub(crate) in_flight: Vec<Vec<Option<f64>>>,
}

impl Run {
    /// Whether the policy moves many keys without a change: it ignores keys, or reads the load as well.
    pub fn ignores_keys(&self) -> bool {
        self.keys_moved_idle > 0.25
    }
}
