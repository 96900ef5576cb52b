//! Simulates a scenario under one policy, from the first arrival to the end of the last connection.

use std::sync::Arc;

use lb_core::Policy;

mod connection;
mod engine;
mod keys;
mod membership;
mod record;
mod run;
mod schedule;

use crate::scenario::{Scenario, Variant};
use engine::Engine;
pub use run::Run;

/// Simulates `scenario` under `policy` with the settings of its `[balancer]`. The same arguments give the same run.
///
/// Costs about a microsecond per connection plus the time of the policy; memory for the connections in flight and one
/// latency per connection.
pub fn simulate(scenario: &Scenario, policy: Arc<dyn Policy>, seed: u64) -> Run {
    simulate_variant(scenario, &scenario.plain(policy), seed)
}

/// Simulates `scenario` under one of its variants, or under a variant made by [`Scenario::plain`]; see [`simulate`].
pub fn simulate_variant(scenario: &Scenario, variant: &Variant, seed: u64) -> Run {
    Engine::new(scenario, variant, seed).run()
}
