//! Attempts to connect to a backend, as hooks observe them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::Backend;

use crate::net::connect::{AttemptStep, ConnectError};
use crate::net::stream::Stream;
use crate::upstream::Upstream;

/// One attempt to connect to a backend, when it has ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Attempt<'a> {
    /// The upstream that the backend was picked from.
    #[cfg_attr(feature = "serde", serde(serialize_with = "Upstream::serialize_name"))]
    pub upstream: &'a Upstream,
    /// The backend.
    pub backend: &'a Backend,
    /// Its outcome.
    pub outcome: AttemptOutcome,
    /// Why it failed. `None` if it is connected or was abandoned.
    pub error: Option<AttemptError>,
    /// Whether the failure ejected the backend: it gets no new connections for a while.
    pub ejects: bool,
    /// How long it took.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::seconds")
    )]
    pub elapsed: Duration,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) socket: Option<&'a Stream>,
}

impl Attempt<'_> {
    /// The own end of the connection to the backend. `None` if there is no connection. Costs a system call.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket?.local_addr().ok()
    }
}

/// The outcome of an attempt to connect.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AttemptOutcome {
    /// The client closed or reset its connection during the attempt.
    Abandoned,
    /// The connection is established.
    Connected,
    /// The backend refused, reset or cannot be reached. Counts as a failure of the backend.
    Failed,
    /// This machine lacks a descriptor, memory, a source port or a source address. Does not count against the backend.
    Local,
    /// No answer in time. Counts as a failure of the backend if the attempt lasted for the whole of
    /// [`Timeouts::connect`](crate::Timeouts::connect).
    Timeout,
}

crate::names::names!(AttemptOutcome {
    Abandoned = "abandoned",
    Connected = "connected",
    Failed = "failed",
    Local = "local",
    Timeout = "timeout",
});

/// The error of a failed attempt to connect.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct AttemptError {
    /// What failed.
    pub step: AttemptStep,
    /// The kind of the error.
    pub kind: io::ErrorKind,
    /// The number of the system error, if the kernel reported one.
    pub errno: Option<i32>,
}

impl AttemptError {
    pub(crate) fn new(error: &ConnectError) -> Self {
        let (step, error) = match error {
            ConnectError::Loop => (AttemptStep::Loop, None),
            ConnectError::Timeout(_) => {
                return Self {
                    step: AttemptStep::Answer,
                    kind: io::ErrorKind::TimedOut,
                    errno: None,
                };
            }
            ConnectError::Backend(error, step)
            | ConnectError::Local(error, step)
            | ConnectError::Shortage(error, step) => (*step, Some(error)),
        };
        Self {
            step,
            kind: error.map_or(io::ErrorKind::Other, io::Error::kind),
            errno: error.and_then(io::Error::raw_os_error),
        }
    }
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.step, self.errno) {
            (AttemptStep::Loop, _) => f.write_str("leads back to a listener of this proxy"),
            (_, Some(errno)) => io::Error::from_raw_os_error(errno).fmt(f),
            (_, None) => self.kind.fmt(f),
        }
    }
}

/// As it displays.
#[cfg(feature = "serde")]
impl serde::Serialize for AttemptError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One attempt to connect to a backend, at the end of its session.
#[non_exhaustive]
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AttemptReport {
    /// The backend.
    pub backend: Arc<Backend>,
    /// The outcome of the attempt.
    pub outcome: AttemptOutcome,
    /// Why it failed. `None` if it was connected or abandoned.
    pub error: Option<AttemptError>,
    /// From accepting to the begin of the attempt. `None` for a connected one unless the hooks observe
    /// [everything](crate::events::Observation::Everything).
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::optional_seconds")
    )]
    pub began_after: Option<Duration>,
    /// From the begin of the attempt to the connection. `None` if there was none.
    #[doc(alias = "$upstream_connect_time")]
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::optional_seconds")
    )]
    pub connected_after: Option<Duration>,
    /// From the begin of the attempt to the first byte from the backend, or to the end of its stream if that came first.
    /// `None` if neither came.
    #[doc(alias = "$upstream_first_byte_time")]
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::optional_seconds")
    )]
    pub first_byte_after: Option<Duration>,
    /// From the begin of the attempt to its failure, or to the end of the session.
    #[doc(alias = "$upstream_session_time")]
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::seconds")
    )]
    pub elapsed: Duration,
    /// Bytes that the kernel accepted for the backend, with the PROXY protocol header that was sent.
    #[doc(alias = "$upstream_bytes_sent")]
    pub bytes_sent: u64,
    /// Bytes that were read from the backend.
    #[doc(alias = "$upstream_bytes_received")]
    pub bytes_received: u64,
}
