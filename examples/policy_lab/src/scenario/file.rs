//! The form of a scenario file, as serde reads it.

use std::num::NonZeroU32;

use lb_core::BalancerConfig;
use lb_core::policy::PolicySettings;
use serde::Deserialize;
use toml::Spanned;

use super::units::{Alpha, Factor, Positive, Probability, Rate, Sigma, Time, Zipf};

/// A scenario file; [`Scenario`](super::Scenario) documents the fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) duration: Positive,
    pub(crate) warm_up: Option<Spanned<Time>>,
    pub(crate) arrivals: Spanned<Arrivals>,
    #[serde(default)]
    pub(crate) clients: Clients,
    #[serde(default)]
    pub(crate) retry: Retry,
    pub(crate) balancer: Option<Spanned<BalancerConfig>>,
    #[serde(default)]
    pub(crate) variants: Vec<VariantTable>,
    pub(crate) backends: Spanned<Vec<Spanned<Group>>>,
    #[serde(default)]
    pub(crate) events: Vec<Spanned<EventTable>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arrivals {
    pub(crate) rate: Rate,
    pub(crate) burst: Option<Burst>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Burst {
    pub(crate) every: Positive,
    #[serde(rename = "for")]
    pub(crate) lasts: Positive,
    pub(crate) factor: Factor,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Clients {
    pub(crate) count: Spanned<NonZeroU32>,
    pub(crate) zipf: Zipf,
}

impl Default for Clients {
    fn default() -> Self {
        let thousand = NonZeroU32::MIN.saturating_add(999);
        Self {
            count: Spanned::new(0..0, thousand),
            zipf: Zipf::UNIFORM,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retry {
    pub(crate) tries: Option<NonZeroU32>,
    pub(crate) deadline: Time,
    pub(crate) connect_timeout: Positive,
}

impl Default for Retry {
    fn default() -> Self {
        let seconds = |n: u64| Time::from_millis(n * 1000);
        Self {
            tries: None,
            deadline: seconds(15),
            connect_timeout: Positive::try_from(seconds(5)).expect("five seconds are above zero"),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) name: Spanned<String>,
    #[serde(default = "one")]
    pub(crate) count: Spanned<NonZeroU32>,
    #[serde(default = "weight_one")]
    pub(crate) weight: u16,
    pub(crate) zone: Option<Spanned<String>>,
    pub(crate) priority: Option<Spanned<u8>>,
    #[serde(default)]
    pub(crate) backup: bool,
    #[serde(default)]
    pub(crate) absent: bool,
    pub(crate) max_conns: Option<NonZeroU32>,
    #[serde(default = "one_failure")]
    pub(crate) max_fails: u32,
    #[serde(default = "ten_seconds")]
    pub(crate) fail_timeout: Time,
    #[serde(default = "half_a_millisecond")]
    pub(crate) connect: Distribution,
    #[serde(default = "never")]
    pub(crate) connect_fails: Probability,
    pub(crate) service: Distribution,
    #[serde(default = "sixteen")]
    pub(crate) servers: NonZeroU32,
    pub(crate) cold: Option<Cold>,
}

impl Group {
    /// The priority. Priority 0 is used first.
    pub(crate) fn priority(&self) -> u8 {
        let given = self.priority.as_ref().map(|priority| *priority.get_ref());
        given.unwrap_or_else(|| self.backup.into())
    }
}

fn one() -> Spanned<NonZeroU32> {
    Spanned::new(0..0, NonZeroU32::MIN)
}

fn weight_one() -> u16 {
    1
}

fn one_failure() -> u32 {
    1
}

fn ten_seconds() -> Time {
    Time::from_millis(10_000)
}

fn half_a_millisecond() -> Distribution {
    let half = Time::try_from("500us".to_owned()).unwrap_or(Time::ZERO);
    Distribution::Constant(half)
}

fn never() -> Probability {
    Probability::NEVER
}

fn sixteen() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(15)
}

/// A backend that is slow after it joins.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cold {
    pub(crate) factor: Factor,
    #[serde(rename = "for")]
    pub(crate) lasts: Positive,
}

/// The distribution of a time.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(crate) enum Distribution {
    Constant(Time),
    Exponential(Time),
    LogNormal { median: Time, sigma: Sigma },
    Pareto { least: Time, alpha: Alpha },
}

/// A policy with settings, and the settings of the balancer that replace those of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariantTable {
    pub(crate) label: Spanned<String>,
    pub(crate) policy: Spanned<PolicySettings>,
    pub(crate) balancer: Option<Spanned<BalancerConfig>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventTable {
    pub(crate) at: Spanned<Time>,
    pub(crate) action: Action,
    pub(crate) target: Spanned<String>,
    #[serde(default = "no_time")]
    pub(crate) each: Time,
    pub(crate) weight: Option<u16>,
    pub(crate) failure: Option<Failure>,
}

fn no_time() -> Time {
    Time::ZERO
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Drain,
    Fail,
    Join,
    Leave,
    Recover,
    Weight,
}

/// The answer of a failed backend to an attempt to connect.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    /// It refuses after the usual connect time.
    #[default]
    Refuse,
    /// It does not answer: the attempt ends with the connect time-out.
    Timeout,
}
