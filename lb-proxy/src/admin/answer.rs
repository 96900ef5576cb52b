//! Answers, without HTTP.

use std::fmt;

use serde::Serialize;

/// The answer to a request.
#[derive(Debug)]
pub(super) struct AdminAnswer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    /// After how many seconds the client may ask again.
    pub(super) retry_after: Option<u8>,
}

/// A request that is not answered as asked.
#[derive(Clone, Debug)]
pub(super) struct RequestError {
    pub(super) status: u16,
    pub(super) text: String,
}

impl RequestError {
    /// The request is wrong.
    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self {
            status: 400,
            text: text.into(),
        }
    }

    /// What the request names is not there.
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self {
            status: 404,
            text: text.into(),
        }
    }
}

impl AdminAnswer {
    pub(super) fn text(status: u16, text: impl fmt::Display) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: text.to_string().into_bytes(),
            retry_after: None,
        }
    }

    /// A file that is compiled in.
    pub(super) fn file(content_type: &'static str, text: &str) -> Self {
        Self {
            status: 200,
            content_type,
            body: text.as_bytes().to_vec(),
            retry_after: None,
        }
    }

    pub(super) fn json(status: u16, value: &impl Serialize) -> Self {
        // Only maps with other keys than texts cannot be written.
        let body = serde_json::to_vec(value).expect("the fields of our own types have names");
        Self {
            status,
            content_type: "application/json",
            body,
            retry_after: None,
        }
    }

    /// `{"error": "…"}`.
    pub(super) fn error(status: u16, text: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": text }))
    }

    /// An [error](Self::error) of a server that does too much at once.
    pub(super) fn busy(text: &str) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::error(503, text)
        }
    }
}
