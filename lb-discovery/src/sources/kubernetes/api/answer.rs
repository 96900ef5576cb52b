//! The answer to a single request.

use std::time::Duration;

/// An answer of the API server, whatever its status.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiAnswer {
    /// The HTTP status.
    pub code: u16,
    /// The body: an object, or a `Status` if the request failed.
    pub body: Vec<u8>,
    /// How long the server asks to wait before the next request.
    pub retry_after: Option<Duration>,
}

impl ApiAnswer {
    /// Whether the request succeeded.
    pub const fn is_success(&self) -> bool {
        self.code >= 200 && self.code < 300
    }
}
