//! Which fail limit each backend of a balancer has.

use super::fail_limit::FailLimit;
use crate::backend::Backend;

/// Which fail limit each backend of a balancer has.
#[doc(alias = "max_fails", alias = "fail_timeout")]
#[allow(clippy::exhaustive_enums, reason = "its own or another: there is no third")]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FailLimits {
    /// This one for all, whatever their sources say. With `None` failures never eject a backend.
    All(Option<FailLimit>),
    /// The [`fail_limit`](Backend::fail_limit) that its source gives the backend. The default.
    #[default]
    OfEach,
}

impl FailLimits {
    /// The limit of `backend`.
    pub(crate) fn of(self, backend: &Backend) -> Option<FailLimit> {
        match self {
            Self::All(limit) => limit,
            Self::OfEach => backend.fail_limit,
        }
    }
}
