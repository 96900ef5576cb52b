//! What is simulated: backends, clients, and what happens to them when.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use lb_core::{BalancerConfig, Policy};

mod around;
mod builtin;
mod check;
mod error;
mod file;
mod units;
mod variant;
mod words;

pub use error::{Place, ScenarioError};
pub(crate) use file::{Arrivals, Burst, Clients, Distribution, Failure, Group, Retry};
#[cfg(test)]
pub(crate) use units::Alpha;
pub(crate) use units::Time;
pub use variant::Variant;
pub(crate) use words::differences;

/// A scenario that can be simulated.
///
/// It is read from TOML. Only `duration`, `arrivals.rate` and, for each group of backends, `name` and `service` are
/// required. A time is a number with one of the units `us`, `ms`, `s`, `m`, `h`.
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
/// [clients]                         # whose name is the hash key
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
/// servers = 16                      # default: how many connections are served at once; the rest queues
/// cold = { factor = 5, for = "10s" } # default: none; the times for service and for connecting are longer by the
///                                   # factor just after joining, and then by less and less
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
/// A scenario may bring the policies that it is about, each with settings and under a label of its own, so that a
/// policy can be compared with itself. It may also say what is done around the policies: lb-core's [`BalancerConfig`],
/// for all in `[balancer]`, and for a variant in its `balancer`, whose settings come whole in the place of those of
/// `[balancer]`. Everything is off by default, `false` switches off what `[balancer]` has on, and what is left out within
/// a setting has lb-core's default, which is Envoy's.
///
/// ```toml
/// [balancer]
/// outlier_detection = { consecutive_failures = 5, base_ejection = "30s", max_ejection = "300s", max_jitter = "0s", max_ejected_percent = 10, interval = "10s" }
/// overprovisioning = 140            # percent; spill between priorities
/// panic_threshold = 50              # percent; 0 is off
/// slow_start = { window = "10s", min_percent = 10, aggression = 1.0 }
/// subset = { index = 0, size = 3 }  # both are required
/// zone = { zone = "a", overprovisioning = 140, min_backends = 1 } # the clients' zone
///
/// [[variants]]
/// label = "maglev, large table"
/// policy = "maglev"                 # any that `policy_lab --list` names
/// table_size = 655373               # maglev; default: 65537
/// balance_factor = 125              # ketama, maglev, rendezvous, ring_hash; default: 0, no bound
///
/// [[variants]]
/// label = "ring_hash, large ring"
/// policy = "ring_hash"
/// minimum_ring_size = 65536         # ring_hash; default: 1024
/// maximum_ring_size = 1000000       # ring_hash; default: 8388608
///
/// [[variants]]
/// label = "ketama, few points"
/// policy = "ketama"
/// max_points = 1000                 # ketama; default: 2097152
///
/// [[variants]]
/// label = "p2c, warm at once"
/// policy = "p2c"
/// balancer = { slow_start = false, panic_threshold = 30 }
/// ```
///
/// The names are lb-core's; those of Envoy and HAProxy are understood as well: `overprovisioning_factor`,
/// `healthy_panic_threshold`, `consecutive_5xx`, `base_ejection_time`, `max_ejection_time`, `max_ejection_time_jitter`,
/// `max_ejection_percent`, `slow_start_config` with `slow_start_window` and `min_weight_percent`, `hash_balance_factor`.
///
/// Outlier detection counts beside `max_fails`, whose default of one failure comes first: set it to 0 to leave ejections
/// to outlier detection.
///
/// # Times and events
///
/// Distributions are `{ constant = T }`, `{ exponential = T }` with the mean T, `{ log_normal = { median = T, sigma =
/// S } }` and `{ pareto = { least = T, alpha = A } }`. No drawn time exceeds an hour.
///
/// `leave` takes a backend out of the set and lets its connections end, `drain` keeps it there without new ones, `join`
/// brings it (back) as a new instance, or ends a drain. `fail` lets attempts to connect fail until `recover`;
/// connections that exist go on.
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
    /// In the order of time.
    pub(crate) events: Vec<Change>,
    /// Around every policy, unless a variant says otherwise.
    pub(crate) config: BalancerConfig,
    pub(crate) variants: Vec<Variant>,
}

/// One backend of a group.
#[derive(Clone, Debug)]
pub(crate) struct BackendSpec {
    pub(crate) name: String,
    pub(crate) group: usize,
}

/// What happens at one moment: one action on one backend or more.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) at: Time,
    pub(crate) what: What,
    pub(crate) targets: Vec<usize>,
    /// For people, such as `leave old-1`.
    pub(crate) label: String,
}

/// An action with what belongs to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum What {
    Drain,
    Fail(Failure),
    Join,
    Leave,
    Recover,
    Weight(u16),
}

impl What {
    /// Whether it changes the snapshot that the balancer is given.
    pub(crate) const fn is_membership(self) -> bool {
        !matches!(self, Self::Fail(_) | Self::Recover)
    }
}

impl Scenario {
    /// Reads a scenario; `origin` is its name in errors and, without a title, on the page.
    ///
    /// # Errors
    ///
    /// If the text is not TOML, or not a scenario as described above. The error says where.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ScenarioError> {
        let file = toml::from_str(text).map_err(|error| ScenarioError::Invalid {
            origin: origin.to_owned(),
            place: Place::of(text, error.span()),
            message: error.message().to_owned(),
        })?;
        check::check(origin, file).map_err(|problem| ScenarioError::Invalid {
            origin: origin.to_owned(),
            place: Place::of(text, Some(problem.span)),
            message: problem.message,
        })
    }

    /// The built-in scenario called `name`, or else the file at that path.
    ///
    /// # Errors
    ///
    /// If there is neither, or the file is not a scenario.
    pub fn load(name: &str) -> Result<Self, ScenarioError> {
        if let Some(text) = Self::builtin_text(name) {
            return Self::parse(name, text);
        }
        let bytes = fs::read(name).map_err(|source| {
            let path = Path::new(name).to_owned();
            if source.kind() == ErrorKind::NotFound {
                let known = Self::known();
                return ScenarioError::Unknown {
                    path,
                    source,
                    known,
                };
            }
            ScenarioError::Read { path, source }
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..good]);
            ScenarioError::Invalid {
                origin: name.to_owned(),
                place: Place::of(&text, Some(good..good)),
                message: "from here on the file is not UTF-8: save it as text in UTF-8".to_owned(),
            }
        })?;
        Self::parse(name, &text)
    }

    /// The names of the built-in scenarios.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        builtin::ALL.iter().map(|(name, _)| *name)
    }

    /// The text of the built-in scenario called `name`, to start from.
    pub fn builtin_text(name: &str) -> Option<&'static str> {
        let mut all = builtin::ALL.iter();
        all.find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// The names of the built-in scenarios, for people.
    pub(crate) fn known() -> String {
        Self::builtin_names().collect::<Vec<_>>().join(", ")
    }

    /// What the scenario is called.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What it shows.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The variants that the file has, in its order.
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// `policy` as it is, under its own name, with what `[balancer]` says around it.
    pub fn plain(&self, policy: Arc<dyn Policy>) -> Variant {
        Variant::plain(policy, self.config.clone())
    }

    /// The same scenario with `factor` times as many arrivals, within the limits of a rate. For quick looks and tests.
    #[must_use]
    pub fn with_load(mut self, factor: f64) -> Self {
        if let Ok(rate) = (self.arrivals.rate.get() * factor).try_into() {
            self.arrivals.rate = rate;
        }
        self
    }

    pub(crate) fn group_of(&self, backend: usize) -> &Group {
        &self.groups[self.backends[backend].group]
    }
}
