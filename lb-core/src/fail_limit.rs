//! The setting of nginx's `max_fails` and `fail_timeout`. `state/failure_record.rs` counts against it.

use std::num::NonZeroU32;
use std::time::Duration;

/// How many failures eject a backend, and for how long: nginx's `max_fails` and `fail_timeout`.
///
/// Default, as nginx: one failure, ten seconds.
#[doc(alias = "max_fails", alias = "fail_timeout")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FailLimit {
    /// Failures that eject. Above 16383, as 16383.
    pub max_fails: NonZeroU32,
    /// How long an ejection lasts, and how long a failure below the limit is remembered.
    pub fail_timeout: Duration,
}

impl FailLimit {
    /// Ejects for `fail_timeout` after `max_fails` failures.
    pub const fn new(max_fails: NonZeroU32, fail_timeout: Duration) -> Self {
        Self {
            max_fails,
            fail_timeout,
        }
    }
}

impl Default for FailLimit {
    fn default() -> Self {
        Self::new(NonZeroU32::MIN, Duration::from_secs(10))
    }
}
