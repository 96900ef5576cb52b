//! The status of a driver's sources.

use std::sync::Arc;
use std::time::Duration;

/// The status of every source of a driver, in their order.
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DriverStatus {
    /// One entry a source.
    pub sources: Vec<SourceStatus>,
}

/// The status of one source.
#[non_exhaustive]
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SourceStatus {
    /// The source's [label](crate::Source::label).
    pub label: Arc<str>,
    /// Number of backends in its current set.
    pub backends: usize,
    /// Time since its last success: since it last yielded a set, or since an authoritative empty answer emptied the
    /// set. `None` before the first success. Also grows while nothing changes: [`stale_for`](Self::stale_for) shows
    /// failures.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::optional_seconds")
    )]
    pub last_success: Option<Duration>,
    /// Whether the set is that of [another process](crate::Driver::begin_with), which no answer has confirmed or replaced yet.
    /// [`last_success`](Self::last_success) is then a success of that process.
    pub is_restored: bool,
    /// Time since the first failure after the last success, for which the set has not been confirmed. `None` while the
    /// last outcome is a success, and before the first outcome.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::optional_seconds")
    )]
    pub stale_for: Option<Duration>,
    /// Time until the driver opens the next watch, after the end of the last one: when a failing source is asked again. A
    /// hint may shorten it. Zero while the driver is about to. `None` while a watch is open, its lookup included.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::optional_seconds")
    )]
    pub next_attempt: Option<Duration>,
    /// Whether the driver dropped the set because it was stale for longer than
    /// [`max_stale`](crate::DriverConfig::max_stale).
    pub expired: bool,
    /// Why the last attempt failed, or why there are no backends. `None` if neither.
    pub last_error: Option<Arc<str>>,
    /// Number of failed attempts. The end of a watch and an empty answer with a reason count.
    pub failures: u64,
    /// Number of those failures that were panics in the code of the source.
    pub panics: u64,
    /// Number of sets that the source yielded. Equal ones count.
    pub updates: u64,
}

impl SourceStatus {
    /// Whether the source fails, so that its backends, if any, are those of its last good set.
    pub fn is_stale(&self) -> bool {
        self.stale_for.is_some()
    }
}
