//! How the driver treats its sources.

use std::time::Duration;

/// What an answer that says with authority that there is nothing, such as NXDOMAIN, does to a source's set.
///
/// Answers of Kubernetes are [`NoBackends`](crate::DiscoveryError::NoBackends), which empties the set either way.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[doc(alias = "failpolicy")]
pub enum OnEmpty {
    /// The set becomes empty. nginx's way with NXDOMAIN.
    Apply,
    /// The last good set stays: a name that was deleted by mistake, or a DNS server that lost its zone, must not
    /// stop the traffic. Health checks still take out backends that are gone.
    #[default]
    KeepLast,
}

/// How a [`Driver`](crate::Driver) treats its sources. The defaults suit DNS and Kubernetes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DriverConfig {
    pub(crate) backoff_base: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) debounce: Duration,
    pub(crate) initial_wait: Duration,
    pub(crate) max_stale: Option<Duration>,
    pub(crate) min_refresh: Duration,
    pub(crate) on_empty: OnEmpty,
    pub(crate) seed: Option<u64>,
}

impl DriverConfig {
    /// The defaults.
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

    /// The longest that the first delay after a failure can be; see [`Backoff`](crate::Backoff). Default: 500 ms.
    #[must_use]
    pub fn backoff_base(mut self, backoff_base: Duration) -> Self {
        self.backoff_base = backoff_base;
        self
    }

    /// The longest that any delay after a failure can be. Also bounds how long a negative answer is believed.
    /// Default: 30 s.
    #[must_use]
    pub fn backoff_max(mut self, backoff_max: Duration) -> Self {
        self.backoff_max = backoff_max;
        self
    }

    /// How long changes are gathered, from the first one on, before the union is published. Zero publishes each
    /// change. Default: 50 ms.
    #[must_use]
    pub fn debounce(mut self, debounce: Duration) -> Self {
        self.debounce = debounce;
        self
    }

    /// How long the first publication waits for sources that have not answered. Default: 1 s.
    #[must_use]
    pub fn initial_wait(mut self, initial_wait: Duration) -> Self {
        self.initial_wait = initial_wait;
        self
    }

    /// How long the last good set of a source is trusted while the source fails, counted from the first failure after
    /// its last success ([`SourceStatus::stale_for`](crate::SourceStatus::stale_for)). When that is over the source's
    /// backends are dropped until it gives a set again; other sources are not affected. Default: `None`, for ever.
    ///
    /// For ever is right where a wrong backend does no harm, because a connection to it fails and the next one is
    /// tried. Set a limit where an address may be given to somebody else: connections would reach a stranger.
    #[must_use]
    pub fn max_stale(mut self, max_stale: Option<Duration>) -> Self {
        self.max_stale = max_stale;
        self
    }

    /// The shortest time between two hints of [`DriverHandle::refresh`](crate::DriverHandle::refresh) that are
    /// acted on, for each source. Default: 1 s; less than 10 ms counts as 10 ms.
    #[must_use]
    pub fn min_refresh(mut self, min_refresh: Duration) -> Self {
        self.min_refresh = min_refresh.max(Duration::from_millis(10));
        self
    }

    /// What an authoritative empty answer does. Default: [`OnEmpty::KeepLast`].
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
