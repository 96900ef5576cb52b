//! The outcome of parsing the beginning of a stream.

/// A result, or a request for more bytes.
///
/// Parsers that return it keep no state: the caller calls them again with all bytes of the stream so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "there is no third outcome")]
pub enum ParseStatus<T> {
    /// The bytes contain the whole result.
    Complete(T),
    /// The bytes so far may become a result.
    Incomplete {
        /// How many bytes must follow at least; never zero. A caller that reads exactly this many reads no byte behind
        /// the result.
        at_least: usize,
    },
}

impl<T> ParseStatus<T> {
    /// The result, if it is complete.
    pub fn complete(self) -> Option<T> {
        match self {
            Self::Complete(result) => Some(result),
            Self::Incomplete { .. } => None,
        }
    }
}
