//! An error with its bytes in the text.

use std::ops::Range;

/// The error, and the bytes of the text that cause it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

/// Fails with a [`Problem`].
pub(super) fn problem<T>(span: Range<usize>, message: impl Into<String>) -> Result<T, Problem> {
    let message = message.into();
    Err(Problem { span, message })
}
