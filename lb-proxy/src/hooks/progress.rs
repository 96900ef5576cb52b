//! The interim report of a session that lasts.

use std::time::Duration;

use lb_core::Backend;

use super::attempt::AttemptReport;
use crate::session_id::SessionId;
use crate::upstream::Upstream;

/// A session that relays, while it lasts; see [`Listener::report_interval`](crate::Listener::report_interval).
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Progress<'a> {
    /// The number of the session, which its [`Summary`](super::Summary) has as well.
    pub id: SessionId,
    /// The upstream that serves it.
    #[cfg_attr(feature = "serde", serde(serialize_with = "Upstream::serialize_name"))]
    pub upstream: &'a Upstream,
    /// The backend that it is connected to.
    pub backend: &'a Backend,
    /// The attempts to connect to a backend, in their order. The last one is that of `backend`.
    pub attempts: &'a [AttemptReport],
    /// The time since it was accepted.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::seconds")
    )]
    pub elapsed: Duration,
    /// From accepting to the connection with the backend.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::seconds")
    )]
    pub connected_after: Duration,
    /// Bytes that were read from the client so far.
    pub bytes_from_client: u64,
    /// Bytes of the client that the kernel has accepted for the backend so far.
    pub bytes_to_backend: u64,
    /// Bytes of the backend that the kernel has accepted for the client so far.
    pub bytes_to_client: u64,
}
