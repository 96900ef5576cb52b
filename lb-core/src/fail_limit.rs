//! The setting of nginx's `max_fails` and `fail_timeout`. `state/failure_record.rs` counts against it.

use std::num::NonZeroU32;
use std::time::Duration;

/// How many failures eject a backend, and for how long: nginx's `max_fails` and `fail_timeout`.
///
/// Default, as nginx: one failure, ten seconds.
#[doc(alias = "max_fails", alias = "fail_timeout")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FailLimit {
    /// Failures that eject. Above 16383, as 16383. Never 0, because no limit is `None` wherever a limit is set.
    pub max_fails: NonZeroU32,
    /// How long an ejection lasts, and how long a failure below the limit is remembered.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_form::DurationForm"))]
    pub fail_timeout: Duration,
}

impl FailLimit {
    /// Ejects for `fail_timeout` after `max_fails` failures. [`after`](Self::after) takes a plain number.
    pub const fn new(max_fails: NonZeroU32, fail_timeout: Duration) -> Self {
        Self {
            max_fails,
            fail_timeout,
        }
    }

    /// The same of a plain number. 0 is no limit, as `max_fails=0` in nginx.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lb_core::{Backend, FailLimit};
    ///
    /// let backend: Backend = "10.0.0.1:446".parse()?;
    /// let backend = backend.fail_limit(FailLimit::after(3, Duration::from_secs(30)));
    /// assert_eq!(backend.fail_limit.map(|limit| limit.max_fails.get()), Some(3));
    /// # Ok::<(), lb_core::BackendParseError>(())
    /// ```
    pub const fn after(max_fails: u32, fail_timeout: Duration) -> Option<Self> {
        match NonZeroU32::new(max_fails) {
            Some(max_fails) => Some(Self::new(max_fails, fail_timeout)),
            None => None,
        }
    }
}

impl Default for FailLimit {
    fn default() -> Self {
        Self::new(NonZeroU32::MIN, Duration::from_secs(10))
    }
}

/// Which fail limit each backend of a balancer has.
#[doc(alias = "max_fails", alias = "fail_timeout")]
#[allow(
    clippy::exhaustive_enums,
    reason = "its own or another: there is no third"
)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum FailLimits {
    /// This one for all, whatever their sources say. With `None` failures never eject a backend.
    All(
        #[cfg_attr(
            feature = "serde",
            serde(with = "crate::serde_form::Switch::<FailLimit>")
        )]
        Option<FailLimit>,
    ),
    /// The [`fail_limit`](field@crate::Backend::fail_limit) that its source gives the backend. The default.
    #[default]
    OfEach,
}

impl FailLimits {
    /// The limit of a backend whose source gives it `own`.
    pub(crate) fn of(self, own: Option<FailLimit>) -> Option<FailLimit> {
        match self {
            Self::All(limit) => limit,
            Self::OfEach => own,
        }
    }
}
