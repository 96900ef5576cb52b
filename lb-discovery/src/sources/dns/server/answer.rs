//! The answer to one question.

use std::time::Duration;

/// A positive answer to one question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer<T> {
    /// The records, in any order. Not empty.
    pub(crate) records: Vec<T>,
    pub(crate) valid_for: Duration,
}
