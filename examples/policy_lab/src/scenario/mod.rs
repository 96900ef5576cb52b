//! Scenarios: backends, clients and events.

use std::sync::Arc;

use lb_core::{BalancerConfig, Policy};

mod balancer;
mod builtin;
mod change;
mod check;
mod describe;
mod error;
mod file;
mod load;
mod problem;
mod units;
mod variant;

pub(crate) use change::{BackendSpec, Change, ChangeKind};
pub(crate) use describe::differences;
pub use error::{Place, ScenarioError};
pub(crate) use file::{Arrivals, Burst, Clients, Distribution, Failure, Group, Retry};
#[cfg(test)]
pub(crate) use units::Alpha;
pub(crate) use units::Time;
pub use variant::Variant;

/// A scenario that can be simulated.
///
/// The format is TOML. Only `duration`, `arrivals.rate` and, for each group of backends, `name` and `service` are
/// required. Times are numbers with units, such as `250us`, `1.5s` or `1h 30m`.
///
/// ```toml
/// title = "Two kinds of backends"   # default: the file's name
/// description = "What to look for." # default: empty
/// duration = "60s"                  # arrivals end then; the simulation goes on until the last connection ends
/// warm_up = "6s"                    # left out of the figures; default: a tenth of the duration
///
/// [arrivals]
/// rate = 1000                       # connections per second, a Poisson process
/// burst = { every = "10s", for = "1s", factor = 3 } # default: none; the first begins after `every`
///
/// [clients]                         # the name of a client is the hash key
/// count = 1000                      # default
/// zipf = 0.0                        # exponent; 0, the default, is uniform
///
/// [retry]                           # defaults are lb-proxy's
/// tries = 3                         # default: every backend once
/// deadline = "15s"                  # no attempt begins later; "0s" for none
/// connect_timeout = "5s"
///
/// [[backends]]                      # a group; its backends are called NAME-1, NAME-2, ...
/// name = "fast"
/// count = 9                         # default: 1
/// weight = 1                        # default
/// zone = "a"                        # default: none
/// priority = 0                      # default; 1 is used when no backend of 0 is eligible, and so on
/// backup = false                    # default; true is the priority 1
/// absent = false                    # default; true waits for an event to join
/// max_conns = 100                   # default: no limit
/// max_fails = 1                     # default; 0 never ejects
/// fail_timeout = "10s"              # default
/// connect = { constant = "500us" }  # default
/// connect_fails = 0.0               # default: the probability that an attempt fails
/// service = { exponential = "10ms" }
/// servers = 16                      # default: connections served at once; the rest queues
/// cold = { factor = 5, for = "10s" } # default: none; service and connecting take longer by this factor just
///                                   # after the backend joins; the factor falls linearly to 1
///
/// [[events]]
/// at = "20s"                        # before the duration is over, with every `each`
/// action = "leave"                  # drain, fail, join, leave, recover, weight
/// target = "fast-1"                 # a backend, or a group: all of its backends
/// each = "2s"                       # default: "0s"; between one backend of the group and the next
/// weight = 5                        # for the action "weight"
/// failure = "refuse"                # for the action "fail": refuse (default), or timeout
/// ```
///
/// # Variants
///
/// A scenario may have variants: policies with settings, each under a label, so that a policy can be compared with
/// itself. It may also set lb-core's [`BalancerConfig`]: `[balancer]` applies to all policies, and the `balancer` of a
/// variant replaces single settings of `[balancer]` as a whole. `false` switches a setting off. What is left out has
/// lb-core's default. Policies and settings have the form that lb-core's feature `serde` gives them.
///
/// ```toml
/// [balancer]
/// fail_limits = { all = { max_fails = 3, fail_timeout = "10s" } } # default: "of_each", the group's
/// on_all_ejected = "try"            # default; or "refuse", as nginx
/// common_outage = { window = "10s", trial_interval = "100ms" } # default
/// initial_health = "healthy"        # default
/// outlier_detection = { consecutive_failures = 5, base_ejection = "30s", max_ejection = "300s", max_jitter = "0s", max_ejected_percent = 10, interval = "10s" }
/// overprovisioning = 140            # percent; spill between priorities
/// panic_threshold = 50              # percent; 0 is off
/// slow_start = { window = "10s", min_percent = 10, aggression = 1.0 }
/// subset = { index = 0, size = 3 }  # both are required
/// zone = { zone = "a", overprovisioning = 140, min_backends = 1 } # the clients' zone
///
/// [[variants]]
/// label = "maglev, large table"
/// policy = { maglev = { table_size = 655373, balance_factor = 125 } } # any that `policy_lab --list` names
///
/// [[variants]]
/// label = "ring_hash, large ring"
/// policy = { ring_hash = { min_size = 65536, max_size = 1000000 } }
///
/// [[variants]]
/// label = "ketama, few points"
/// policy = { ketama = { max_points = 1000 } }
///
/// [[variants]]
/// label = "p2c, warm at once"
/// policy = "p2c"
/// balancer = { slow_start = false, panic_threshold = 30 }
/// ```
///
/// The names are lb-core's. These names of Envoy and HAProxy mean the same: `overprovisioning_factor`,
/// `healthy_panic_threshold`, `consecutive_5xx`, `base_ejection_time`, `max_ejection_time`, `max_ejection_time_jitter`,
/// `max_ejection_percent`, `slow_start_config` with `slow_start_window` and `min_weight_percent`, `minimum_ring_size`,
/// `maximum_ring_size`, `hash_balance_factor`.
///
/// Outlier detection counts beside `max_fails`. The default of `max_fails`, one failure, ejects first: set it to 0 to
/// leave ejections to outlier detection.
///
/// # Times and events
///
/// Distributions are `{ constant = T }`, `{ exponential = T }` with the mean T, `{ log_normal = { median = T, sigma =
/// S } }` and `{ pareto = { least = T, alpha = A } }`. No drawn time exceeds an hour.
///
/// `leave` removes a backend from the set; its connections end by themselves. `drain` keeps it in the set without new
/// connections. `join` adds it (again) as a new instance, or ends a drain. `fail` makes attempts to connect fail until
/// `recover`; open connections continue.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) duration: Time,
    pub(crate) warm_up: Time,
    pub(crate) arrivals: Arrivals,
    pub(crate) clients: Clients,
    pub(crate) retry: Retry,
    pub(crate) groups: Vec<Group>,
    pub(crate) backends: Vec<BackendSpec>,
    /// Sorted by time.
    pub(crate) events: Vec<Change>,
    /// The settings of the balancer, unless a variant has its own.
    pub(crate) config: BalancerConfig,
    pub(crate) variants: Vec<Variant>,
}

impl Scenario {
    /// The title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The description: what to look for.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The variants, in the order of the file.
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// A variant of `policy` under its own name, with the settings of `[balancer]`.
    pub fn plain(&self, policy: Arc<dyn Policy>) -> Variant {
        Variant::plain(policy, self.config.clone())
    }

    /// The same scenario with `factor` times as many arrivals, within the limits of a rate. For tests and quick runs.
    #[must_use]
    pub fn scale_load(mut self, factor: f64) -> Self {
        if let Ok(rate) = (self.arrivals.rate.get() * factor).try_into() {
            self.arrivals.rate = rate;
        }
        self
    }

    pub(crate) fn group_of(&self, backend: usize) -> &Group {
        &self.groups[self.backends[backend].group]
    }
}
