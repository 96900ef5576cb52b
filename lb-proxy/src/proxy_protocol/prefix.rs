//! Parts that both parsers share: the outcome without a header, and the comparison with fixed bytes.

use super::error::{HeaderError, HeaderErrorKind};

/// Why a parser returns no header.
#[derive(Debug)]
pub(super) enum Unparsed {
    /// At least this many bytes are missing.
    Incomplete(usize),
    Invalid(HeaderError),
}

impl From<HeaderError> for Unparsed {
    fn from(error: HeaderError) -> Self {
        Self::Invalid(error)
    }
}

/// Compares the bytes at `at` with `bytes`, as far as they have arrived.
pub(super) fn expect(
    stream: &[u8],
    at: usize,
    bytes: &[u8],
    error: HeaderErrorKind,
) -> Result<(), Unparsed> {
    let arrived = &stream[at..];
    if let Some(wrong) = arrived.iter().zip(bytes).position(|(a, b)| a != b) {
        return Err(HeaderError::new(at + wrong, error).into());
    }
    match bytes.len().checked_sub(arrived.len()) {
        None | Some(0) => Ok(()),
        Some(missing) => Err(Unparsed::Incomplete(missing)),
    }
}
