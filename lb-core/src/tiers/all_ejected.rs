//! The setting for the time in which failures have ejected all backends.

/// What happens while failures have ejected all backends that connections may go to.
///
/// It concerns ejections alone: a backend that an active check found unhealthy gets no connection in either case, and while
/// a backend is neither ejected nor unhealthy, maybe full, no ejected one gets any.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OnAllEjected {
    /// Connections are refused until the first ejection ends, as in nginx (`no live upstreams`).
    Refuse,
    /// Connections get an ejected backend, as in HAProxy, which ejects no server for failed connections by default. One that
    /// accepts is not ejected any more, unless it was ejected as an [outlier](crate::OutlierDetection). The default.
    ///
    /// So backends that restart together serve as soon as the first of them is up, not after their `fail_timeout`. A
    /// connection that has failed on four backends is refused, as after HAProxy's default of 3 `retries`: with many
    /// backends that are all down, each client would otherwise try them all. During a
    /// [`CommonOutage`](crate::CommonOutage) its trials alone get a backend, so that no client waits for a time-out.
    #[default]
    Try,
}

/// How many backends a connection may have failed on that gets an ejected one.
pub(crate) const MOST_TRIED: usize = 3;
