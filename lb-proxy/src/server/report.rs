//! Reports on a reload and on a shutdown.

use std::sync::Arc;
use std::time::Duration;

use lb_core::Endpoint;

/// What a [reload](crate::Handle::reload) has changed.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ReloadReport {
    /// The addresses or paths of the listeners.
    ///
    /// A kept listener keeps its sockets, and new sessions have the settings of its new description. A changed listener
    /// has other sockets on its address, because [`ipv6_only`](crate::Listener::ipv6_only) or
    /// [`multipath`](crate::Listener::multipath) is another. The sockets of a
    /// removed listener are closed.
    pub listeners: Changes<Endpoint>,
    /// The names of the upstreams.
    ///
    /// A kept upstream has an equal description. A changed upstream keeps its name and the state of its backends, and
    /// has other settings or sources. [Fixed](crate::UpstreamBuilder::fixed) upstreams are not reported.
    pub upstreams: Changes<Arc<str>>,
    /// Whether other [`Workers`](crate::Workers) were described. The server keeps its workers: only a new server can have
    /// others.
    pub workers_differ: bool,
}

/// How many reloads a server has had.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ReloadCounts {
    /// Reloads that were applied.
    pub applied: u64,
    /// Reloads that failed, so that nothing changed: also those that the embedder has
    /// [noted](crate::Handle::note_failed_reload).
    pub failed: u64,
}

/// What a reload has done with the listeners or with the upstreams.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Changes<T> {
    /// New in the description.
    pub added: Vec<T>,
    /// Kept as they are.
    pub kept: Vec<T>,
    /// Still described, but in another way.
    pub changed: Vec<T>,
    /// Not described any more.
    pub removed: Vec<T>,
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        Self {
            added: Vec::new(),
            kept: Vec::new(),
            changed: Vec::new(),
            removed: Vec::new(),
        }
    }
}

/// How a shutdown went.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DrainReport {
    /// Sessions that were reset.
    pub aborted: u64,
    /// Sessions that ended since draining began, for other reasons than a reset by the shutdown: of those that were open then, and of
    /// those that were accepted until accepting had ended. [`Metrics`](crate::Metrics) counts those that had ended before, too.
    pub completed: u64,
    /// From the end of accepting to the end of the last session: `draining` and `closing`.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::seconds")
    )]
    pub elapsed: Duration,
    /// How long connections were accepted after the shutdown had begun.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::seconds")
    )]
    pub pre_stop: Duration,
    /// How long sessions had time to end by themselves.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::seconds")
    )]
    pub draining: Duration,
    /// How long it took to reset the remaining sessions.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::seconds")
    )]
    pub closing: Duration,
}
