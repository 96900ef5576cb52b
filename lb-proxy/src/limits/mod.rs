//! Limits: how many sessions may be open, how fast new ones may come, and from which addresses.

pub(crate) mod access;
pub(crate) mod client_limit;
pub(crate) mod client_zone;
pub(crate) mod limiter;
pub(crate) mod rate;
#[cfg(feature = "serde")]
mod rate_form;
pub(crate) mod session_limit;

use crate::error::BuildError;

pub use access::Access;
pub use client_zone::{ClientZone, ClientZoneBuilder};
pub use rate::Rate;

/// The limits on the sessions of a proxy or of one listener.
///
/// Everything is unlimited by default, except for the descriptors that the process may have.
#[doc(alias = "maxconn")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Limits {
    /// Open sessions. Default: no limit. [`ProxyBuilder::build`](crate::ProxyBuilder::build) refuses 0.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalPositive::<usize>")
    )]
    pub sessions: Option<usize>,
    /// New connections over time. Default: no limit.
    #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::Switch::<Rate>"))]
    pub rate: Option<Rate>,
    /// What happens to a connection above one of these limits. Default: [`Excess::Wait`].
    pub excess: Excess,
}

impl Limits {
    /// Sets [`sessions`](field@Self::sessions).
    #[must_use]
    pub fn sessions(mut self, sessions: impl Into<Option<usize>>) -> Self {
        self.sessions = sessions.into();
        self
    }

    /// Sets [`rate`](field@Self::rate).
    #[must_use]
    pub fn rate(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.rate = rate.into();
        self
    }

    /// Sets [`excess`](field@Self::excess).
    #[must_use]
    pub fn excess(mut self, excess: Excess) -> Self {
        self.excess = excess;
        self
    }

    /// Checks that the limits can work. `of` names what has them.
    pub(crate) fn check(&self, of: impl FnOnce() -> String) -> Result<(), BuildError> {
        let sessions = match self.sessions {
            Some(0) => Err("the limit on sessions"),
            _ => Ok(()),
        };
        let checked = sessions.and_then(|()| self.rate.map_or(Ok(()), Rate::check));
        checked.map_err(|setting| BuildError::zero(of(), setting))
    }
}

/// What happens to a connection above a limit.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Excess {
    /// The connection is reset.
    Refuse,
    /// Accepting pauses, so that the connection waits in the kernel's queue, as with HAProxy's `maxconn`. If the queue is
    /// full, the client's kernel retries.
    #[default]
    Wait,
}
