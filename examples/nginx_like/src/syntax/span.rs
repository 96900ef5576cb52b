//! Lines of configuration files, and warnings about them.

use std::{fmt, path::Path, sync::Arc};

/// A line of a configuration file.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Span {
    /// The file as it was opened.
    pub(crate) file: Arc<Path>,
    /// The line, from 1.
    ///
    /// For a directive this is the line of the `;` or `{` that ends it, as nginx counts. 0 if the place has no lines.
    pub(crate) line: usize,
}

impl Span {
    /// No line, for values that are compared without their places.
    pub(crate) fn none() -> Self {
        Self {
            file: Path::new("").into(),
            line: 0,
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

/// A warning of something that works, but not as its author may expect.
///
/// It displays as `MESSAGE in FILE:LINE`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Warning {
    message: String,
    span: Span,
}

impl Warning {
    pub(crate) fn new(message: impl Into<String>, span: Span) -> Self {
        Self {
            message: message.into(),
            span,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.message, self.span)
    }
}
