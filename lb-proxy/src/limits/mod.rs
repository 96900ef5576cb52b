//! Limits: how many sessions may be open, how fast new ones may come, and from which addresses.

pub(crate) mod access;
pub(crate) mod client_limit;
pub(crate) mod client_zone;
pub(crate) mod limiter;
pub(crate) mod rate;
#[cfg(feature = "serde")]
mod rate_form;
pub(crate) mod session_limit;

use std::num::NonZeroUsize;

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
    /// Open sessions. Default: no limit.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::Switch::<NonZeroUsize>")
    )]
    pub sessions: Option<NonZeroUsize>,
    /// New connections over time. Default: no limit.
    #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::Switch::<Rate>"))]
    pub rate: Option<Rate>,
    /// What happens to a connection above one of these limits. Default: [`Excess::Wait`].
    pub excess: Excess,
}

impl Limits {
    /// Sets [`sessions`](field@Self::sessions).
    #[must_use]
    pub fn sessions(mut self, sessions: Option<NonZeroUsize>) -> Self {
        self.sessions = sessions;
        self
    }

    /// Sets [`rate`](field@Self::rate).
    #[must_use]
    pub fn rate(mut self, rate: Option<Rate>) -> Self {
        self.rate = rate;
        self
    }

    /// Sets [`excess`](field@Self::excess).
    #[must_use]
    pub fn excess(mut self, excess: Excess) -> Self {
        self.excess = excess;
        self
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
