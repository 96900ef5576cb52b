//! What a parser of the beginning of a stream made of the bytes so far.

/// A result, or the need for more bytes. Parsers that return it keep no state: they are called again with all bytes of
/// the stream so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "there is no third outcome")]
pub enum ParseStatus<T> {
    /// All of it is there.
    Complete(T),
    /// The bytes so far may become a result.
    Incomplete {
        /// The least number of bytes that must follow, never zero. A caller that reads exactly this many reads nothing
        /// behind the result.
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
