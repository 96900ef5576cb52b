//! The amount of detail that hooks observe of sessions that succeed.

/// How much hooks observe of sessions that succeed. The more, the more a session costs.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Observation {
    /// Nothing. A session that succeeds costs two branches and no memory.
    ///
    /// [`accept`](super::Hooks::accept), [`connected`](super::Hooks::connected) and [`progress`](super::Hooks::progress) are not
    /// called. [`attempt`](super::Hooks::attempt) is called for attempts that failed, and [`close`](super::Hooks::close) for the
    /// reasons for which [`CloseReason::is_failure`](crate::events::CloseReason::is_failure) is true. If the backend was
    /// connected, the summary has the bytes of both directions and no times but [`elapsed`](super::Summary::elapsed).
    Failures,
    /// Their ends: as with [`Failures`](Self::Failures), but [`close`](super::Hooks::close) is called for every reason, and
    /// [`attempt`](super::Hooks::attempt) also for an attempt that its client abandoned. Of a session that ended before it was
    /// connected, the summary may have the first [phase](super::Summary::phase).
    Ends,
    /// All that [`Hooks`](super::Hooks) can observe.
    #[default]
    Everything,
}
