//! The summary of a connection at its end.

use std::time::Duration;

use lb_core::Backend;

use super::attempt::AttemptReport;
use super::refusal::RefusalDetail;
use super::termination::TerminationCode;
use crate::close_reason::CloseReason;
use crate::live_sessions::SessionPhase;
use crate::session_id::SessionId;
use crate::upstream::Upstream;

/// The summary of a connection that ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Summary<'a> {
    /// The number of the session, which its [`Progress`](super::Progress) has as well.
    pub id: SessionId,
    /// Why it ended.
    pub reason: CloseReason,
    /// How far it had come. A session that was refused at once is in the first phase.
    pub phase: SessionPhase,
    /// More about the reason, if it ended before the relay and there is more.
    pub refusal: Option<&'a RefusalDetail>,
    /// The limit that would have refused it but for a [dry run](crate::Listener::limit_dry_run).
    pub observed: Option<&'a RefusalDetail>,
    /// The upstream that was to serve it, if the connection got as far as the choice.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "Upstream::serialize_optional_name")
    )]
    pub upstream: Option<&'a Upstream>,
    /// The backend that it was connected to, if any.
    pub backend: Option<&'a Backend>,
    /// The attempts to connect to a backend, in their order. The last one is that of `backend`.
    pub attempts: &'a [AttemptReport],
    /// From accepting to the end.
    #[doc(alias = "$session_time")]
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::seconds")
    )]
    pub elapsed: Duration,
    /// From accepting to the connection with the backend, if there was one.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::optional_seconds")
    )]
    pub connected_after: Option<Duration>,
    /// Bytes that were read from the client for the backend, those that a preread left for it included. 0 without a backend.
    #[doc(alias = "$bytes_received")]
    pub bytes_from_client: u64,
    /// Bytes of the client that the kernel accepted for the backend.
    pub bytes_to_backend: u64,
    /// Bytes of the backend that the kernel accepted for the client.
    #[doc(alias = "$bytes_sent")]
    pub bytes_to_client: u64,
    /// From accepting to the end or the reset of the client's stream. `None` if the relay saw neither.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::optional_seconds")
    )]
    pub client_ended_after: Option<Duration>,
    /// From accepting to the end or the reset of the backend's stream. `None` if the relay saw neither.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::optional_seconds")
    )]
    pub backend_ended_after: Option<Duration>,
}

impl Summary<'_> {
    /// HAProxy's two letters for the end.
    #[doc(alias = "termination_state", alias = "%ts")]
    pub fn termination(&self) -> TerminationCode {
        TerminationCode::of(self)
    }

    /// The discovery source that reported the backend, by its name in the [driver's status](crate::Upstream::discovery).
    pub fn backend_source(&self) -> Option<&str> {
        self.backend?.source.as_deref()
    }

    /// The side whose stream ended or was reset first. `None` if neither was.
    pub fn first_end(&self) -> Option<Side> {
        match (self.client_ended_after, self.backend_ended_after) {
            (Some(client), Some(backend)) if backend < client => Some(Side::Backend),
            (Some(_), _) => Some(Side::Client),
            (None, Some(_)) => Some(Side::Backend),
            (None, None) => None,
        }
    }
}

/// One of the two sides of a session.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    /// The backend.
    Backend,
    /// The client.
    Client,
}

crate::names::names!(Side {
    Backend = "backend",
    Client = "client",
});
