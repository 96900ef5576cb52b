//! The error of a connection that was not made.

use std::io;
use std::sync::Arc;

use crate::embedder_code::Panicked;
use crate::net::connect::ConnectError;
use crate::no_backend_cause::NoBackendCause;
use crate::session::pick::DialFailure;

/// Why [`Upstream::connect`](crate::Upstream::connect) got no connection.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
#[error("no connection with upstream \"{upstream}\" after {attempts} attempts: {reason}")]
pub struct NoConnection {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// How many attempts failed.
    pub attempts: u32,
    /// Why no other backend was tried. `None` if code of the embedder panicked: the policy, or a
    /// [computed](crate::settings::BindSource::computed) source address.
    pub cause: Option<NoBackendCause>,
    reason: String,
    /// The error of the last attempt, if the system reported one.
    pub source: Option<io::Error>,
}

impl NoConnection {
    pub(super) fn new(
        upstream: Arc<str>,
        attempts: u32,
        failure: Option<DialFailure>,
        last: Option<ConnectError>,
    ) -> Self {
        let (cause, mut reason) = match failure {
            Some(DialFailure { cause, text }) => (cause, text),
            None => (None, "given up".to_owned()),
        };
        if let Some(last) = &last {
            reason = format!("{reason} (the last one: {last})");
        }
        let source = match last {
            Some(
                ConnectError::Backend(error, _)
                | ConnectError::Local(error, _)
                | ConnectError::Shortage(error, _),
            ) => Some(error),
            Some(ConnectError::Timeout(_)) => Some(io::ErrorKind::TimedOut.into()),
            Some(ConnectError::Loop) | None => None,
        };
        Self {
            upstream,
            attempts,
            cause,
            reason,
            source,
        }
    }

    pub(super) fn of_panic(upstream: Arc<str>, attempts: u32, panicked: &Panicked) -> Self {
        Self {
            upstream,
            attempts,
            cause: None,
            reason: panicked.to_string(),
            source: None,
        }
    }
}

impl From<NoConnection> for io::Error {
    /// Of the kind of the last attempt's error, or `NotConnected`.
    fn from(error: NoConnection) -> Self {
        let kind = error.source.as_ref().map(Self::kind);
        Self::new(kind.unwrap_or(io::ErrorKind::NotConnected), error)
    }
}
