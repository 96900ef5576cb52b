//! Details of the ends before the relay.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use lb_core::Escaped;

use crate::no_backend_cause::NoBackendCause;
use crate::preread::PrereadError;

/// Why a client got no service, in more detail than [`CloseReason`](crate::events::CloseReason) has.
#[non_exhaustive]
#[derive(Debug)]
pub enum RefusalDetail {
    /// A limit of the client was reached.
    ClientLimit {
        /// Which one, counted from 0 in the order of [`Listener::limit_clients`](crate::Listener::limit_clients).
        limit: usize,
    },
    /// There was no backend.
    NoBackend(NoBackendCause),
    /// The first bytes were refused, or did not come in time.
    Preread(PrereadRefusal),
    /// The route passes the client to an address that no listener has.
    NoListener(SocketAddr),
    /// Too many listeners have passed the client on.
    PassedTooOften,
    /// The route refused the client for this reason.
    Route(Cow<'static, str>),
}

/// The refusal of a client for its first bytes.
#[non_exhaustive]
#[derive(Debug)]
pub struct PrereadRefusal {
    /// The reader, counted from 0 in the order of [`Listener::preread`](crate::Listener::preread).
    pub reader: usize,
    /// Whether the reader [names the client](crate::first_bytes::Preread::names_client), as one of PROXY headers does.
    pub names_client: bool,
    /// What was wrong.
    pub failure: PrereadFailure,
    /// The error of the reader or of the kernel, if there is one.
    pub error: Option<PrereadError>,
    /// The bytes that had arrived for the reader.
    pub bytes: Vec<u8>,
}

/// What was wrong with the first bytes.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PrereadFailure {
    /// The client ended its stream before they were complete.
    Ended,
    /// The reader refused them.
    Invalid,
    /// The client's socket failed, with the number of the system error: the client reset its connection.
    Socket(Option<i32>),
    /// They did not come in time.
    Timeout,
    /// They were longer than the reader's [limit](crate::first_bytes::Preread::limit).
    TooLong,
}

impl PrereadFailure {
    /// The name in access events and JSON, in snake case. Never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Invalid => "invalid",
            Self::Socket(_) => "socket",
            Self::Timeout => "timeout",
            Self::TooLong => "too_long",
        }
    }
}

crate::names::text!(PrereadFailure);

impl RefusalDetail {
    /// The name in access events and JSON, in snake case: that of the [cause](NoBackendCause) or of the
    /// [failure](PrereadFailure), if it has one. Never changes.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::ClientLimit { .. } => "client_limit",
            Self::NoBackend(cause) => cause.as_str(),
            Self::Preread(refusal) => refusal.failure.as_str(),
            Self::NoListener(_) => "no_listener",
            Self::PassedTooOften => "passed_too_often",
            Self::Route(_) => "route",
        }
    }
}

/// The [name](RefusalDetail::as_str), and what is known besides: `full`, `route: tenant is suspended`.
impl fmt::Display for RefusalDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::ClientLimit { limit } => write!(f, ": number {limit}"),
            Self::NoListener(addr) => write!(f, ": {addr}"),
            Self::Preread(PrereadRefusal {
                error: Some(error), ..
            }) => write!(f, ": {error}"),
            Self::Route(text) => write!(f, ": {}", Escaped(text)),
            Self::NoBackend(_) | Self::PassedTooOften | Self::Preread(_) => Ok(()),
        }
    }
}

#[cfg(feature = "serde")]
#[derive(Default, serde::Serialize)]
struct RefusalForm<'a> {
    detail: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reader: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
}

/// The [name](RefusalDetail::as_str) as `detail`, as in access events, with `limit`, `reader` and `error`, `listener`, or the
/// `refusal` of the route.
#[cfg(feature = "serde")]
impl serde::Serialize for RefusalDetail {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut form = RefusalForm {
            detail: self.as_str(),
            ..RefusalForm::default()
        };
        match self {
            Self::ClientLimit { limit } => form.limit = Some(*limit),
            Self::NoListener(addr) => form.listener = Some(*addr),
            Self::Preread(refusal) => {
                form.reader = Some(refusal.reader);
                form.error = refusal.error.as_ref().map(ToString::to_string);
            }
            Self::Route(text) => form.refusal = Some(text),
            Self::NoBackend(_) | Self::PassedTooOften => {}
        }
        form.serialize(serializer)
    }
}
