//! A scenario under one policy, from the first arrival to the end of the last connection.

use std::sync::Arc;
use std::time::Duration;

use lb_core::Policy;

mod engine;
mod keys;
mod membership;
mod record;
mod schedule;

pub(crate) use keys::Move;

use crate::scenario::{Scenario, Variant};

/// The results of a scenario under one policy.
///
/// Figures without a remark are about the time after the warm-up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// What the variant is called; the policy's name if it is one without settings.
    pub label: String,
    /// Connections that arrived, the warm-up included.
    pub arrivals: u64,
    /// Connections that were served to their end, the warm-up included.
    pub served: u64,
    /// Connections that found no backend, the warm-up included.
    pub lost: u64,
    /// Attempts to connect that failed, the warm-up included.
    pub failed_attempts: u64,
    /// Connections that the balancer counted when the simulation was over. Always 0.
    pub left_in_flight: u64,
    /// Half of the connections that were served were so within this time of their arrival; `None` if none was. Those
    /// that were lost are left out, so that a policy which loses many may look fast.
    pub p50: Option<Duration>,
    /// 99 % were.
    pub p99: Option<Duration>,
    /// 99.9 % were.
    pub p999: Option<Duration>,
    /// The most connections that one backend held.
    pub max_in_flight: u32,
    /// The part of all connections that went elsewhere than the weights say: half the sum of the differences.
    pub share_error: f64,
    /// Of the connections whose client was connected before, the part that reached another backend than the last.
    pub sent_elsewhere: f64,
    /// The mean over all changes of membership of the part of the keys that moved; `None` without a change.
    pub keys_moved: Option<f64>,
    /// The part of the keys that moved while nothing changed. Above zero, the policy looks at more than keys, such as the load.
    pub keys_moved_idle: f64,
    /// The keys moved by each change.
    pub(crate) moves: Vec<Move>,
    /// For each backend and each of 60 parts of the time: its share over the share of its weight.
    pub(crate) shares: Vec<Vec<Option<f64>>>,
    /// For each backend and part: connections in flight on average; `None` while it is not a member and holds none.
    pub(crate) in_flight: Vec<Vec<Option<f64>>>,
}

impl Run {
    /// Whether the policy moves many keys while nothing changes: it does not look at them, or at the load as well.
    pub fn ignores_keys(&self) -> bool {
        self.keys_moved_idle > 0.25
    }
}

/// Simulates `scenario` under `policy`, with what its `[balancer]` says around it. The same arguments give the same run.
///
/// Costs about a microsecond per connection and what the policy takes; memory for the connections in flight and one
/// latency per connection.
pub fn simulate(scenario: &Scenario, policy: Arc<dyn Policy>, seed: u64) -> Run {
    simulate_variant(scenario, &scenario.plain(policy), seed)
}

/// Simulates `scenario` under one of its variants, or a policy that [`Scenario::plain`] made one of; see [`simulate`].
pub fn simulate_variant(scenario: &Scenario, variant: &Variant, seed: u64) -> Run {
    engine::Engine::new(scenario, variant, seed).run()
}
