//! The settings of a driver.

use std::time::Duration;

/// What an authoritative empty answer, such as NXDOMAIN, does to a source's set.
///
/// Kubernetes sources answer [`NoBackends`](crate::DiscoveryError::NoBackends), which empties the set either way.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[doc(alias = "failpolicy")]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OnEmpty {
    /// The set becomes empty, as nginx does after NXDOMAIN.
    Apply,
    /// The last good set stays: a name that was deleted by mistake, or a DNS server that lost its zone, must not stop the
    /// traffic. Health checks still take unreachable backends out of rotation.
    #[default]
    KeepLast,
}

/// The settings of a [`Driver`](crate::Driver). The defaults suit DNS and Kubernetes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DriverConfig {
    /// The upper bound of the first delay after a failure. Default: 500ms.
    #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::DurationForm"))]
    pub(crate) backoff_base: Duration,
    /// The upper bound of any delay after a failure. Default: 30s.
    #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::DurationForm"))]
    pub(crate) backoff_max: Duration,
    /// How long changes are gathered before the union is published. Default: 50ms.
    #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::DurationForm"))]
    pub(crate) debounce: Duration,
    /// How long the first publication waits for sources that have not answered. Default: 1s.
    #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::DurationForm"))]
    pub(crate) initial_wait: Duration,
    /// How long the last good set of a failing source is used. Default: false, no limit.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalDuration")
    )]
    pub(crate) max_stale: Option<Duration>,
    /// The minimum time between two hints that a source acts on. Default: 1s; less than 10 ms counts as 10 ms.
    #[cfg_attr(
        feature = "serde",
        serde(
            deserialize_with = "deserialize_min_refresh",
            serialize_with = "lb_core::serde_form::DurationForm::serialize"
        )
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "lb_core::serde_form::DurationForm")
    )]
    pub(crate) min_refresh: Duration,
    /// What an authoritative empty answer does. Default: `keep_last`.
    pub(crate) on_empty: OnEmpty,
    /// Seeds the jitter. Default: a new seed for each run.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) seed: Option<u64>,
}

#[cfg(feature = "serde")]
fn deserialize_min_refresh<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let read = lb_core::serde_form::DurationForm::deserialize(deserializer)?;
    Ok(DriverConfig::new().min_refresh(read).min_refresh)
}

impl DriverConfig {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self {
            backoff_base: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            debounce: Duration::from_millis(50),
            initial_wait: Duration::from_secs(1),
            max_stale: None,
            min_refresh: Duration::from_secs(1),
            on_empty: OnEmpty::default(),
            seed: None,
        }
    }

    /// Sets the upper bound of the first delay after a failure; see [`Backoff`](crate::Backoff). Default: 500 ms.
    #[must_use]
    pub fn backoff_base(mut self, backoff_base: Duration) -> Self {
        self.backoff_base = backoff_base;
        self
    }

    /// Sets the upper bound of any delay after a failure. Also limits how long a negative answer holds. Default: 30 s.
    #[must_use]
    pub fn backoff_max(mut self, backoff_max: Duration) -> Self {
        self.backoff_max = backoff_max;
        self
    }

    /// Sets how long changes are gathered, from the first one on, before the union is published. Zero publishes each
    /// change. Default: 50 ms.
    #[must_use]
    pub fn debounce(mut self, debounce: Duration) -> Self {
        self.debounce = debounce;
        self
    }

    /// Sets how long the first publication waits for sources that have not answered. Default: 1 s.
    #[must_use]
    pub fn initial_wait(mut self, initial_wait: Duration) -> Self {
        self.initial_wait = initial_wait;
        self
    }

    /// Limits how long the last good set of a failing source is used, counted from the first failure after its last
    /// success ([`SourceStatus::stale_for`](crate::SourceStatus::stale_for)). After that the driver drops the source's
    /// backends until the source yields a set again; other sources are not affected. Default: `None`, no limit.
    ///
    /// No limit is right where an outdated backend does no harm, because a connection to it fails and the next backend is
    /// tried. Set one where an address may be reassigned to another service, which connections would then reach.
    #[must_use]
    pub fn max_stale(mut self, max_stale: Option<Duration>) -> Self {
        self.max_stale = max_stale;
        self
    }

    /// Sets the minimum time between two hints of [`DriverHandle::refresh`](crate::DriverHandle::refresh) that a source
    /// acts on. Default: 1 s; less than 10 ms counts as 10 ms.
    #[must_use]
    pub fn min_refresh(mut self, min_refresh: Duration) -> Self {
        self.min_refresh = min_refresh.max(Duration::from_millis(10));
        self
    }

    /// Sets what an authoritative empty answer does. Default: [`OnEmpty::KeepLast`].
    #[must_use]
    pub fn on_empty(mut self, on_empty: OnEmpty) -> Self {
        self.on_empty = on_empty;
        self
    }

    /// Seeds the jitter, so that a run can be replayed. Default: a new seed for each run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl Default for DriverConfig {
    fn default() -> Self {
        Self::new()
    }
}
