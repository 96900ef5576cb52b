//! Errors of describing checks.

/// A setting of a check that cannot work.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckSettingsError {
    /// The port is 0.
    #[error("the port to probe is 0: leave it out to probe the backend's own")]
    PortZero,
    /// Probes would follow each other too fast.
    #[error("`{setting}` is below 10 ms: probes would load the backends more than sessions do")]
    TooShort {
        /// The name of the interval.
        setting: &'static str,
    },
    /// Every probe would fail.
    #[error("the time-out of a probe is zero, so every probe would fail: give it a duration")]
    ZeroTimeout,
}
