//! The expected contents of a backend's answer.

use std::fmt;

/// What a backend's answer has to contain, anywhere.
#[derive(Clone)]
#[must_use]
pub struct Expect(Pattern);

#[derive(Clone)]
enum Pattern {
    Bytes(Box<[u8]>),
    #[cfg(feature = "health-regex")]
    Regex(regex::bytes::Regex),
}

/// A pattern that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectError {
    /// The pattern is empty, so every answer would match, even none.
    #[error("nothing is expected: give it a text")]
    Empty,
    /// Not an even number of hexadecimal digits.
    #[error("\"{0}\" is not hexadecimal: write two digits for each byte")]
    Hex(Box<str>),
    /// The regular expression does not compile.
    #[error("{0}")]
    Regex(Box<str>),
}

impl Expect {
    /// These bytes.
    ///
    /// # Errors
    ///
    /// [`ExpectError::Empty`] without bytes.
    #[doc(alias = "expect string", alias = "text")]
    pub fn try_bytes(bytes: impl AsRef<[u8]>) -> Result<Self, ExpectError> {
        match bytes.as_ref() {
            [] => Err(ExpectError::Empty),
            bytes => Ok(Self(Pattern::Bytes(bytes.into()))),
        }
    }

    /// The bytes that `digits` are in hexadecimal, as `2b 4f 4b`. Blanks may separate the bytes.
    ///
    /// # Errors
    ///
    /// [`ExpectError::Hex`] if the text is something else, [`ExpectError::Empty`] without bytes.
    #[doc(alias = "expect binary")]
    pub fn try_hex(digits: &str) -> Result<Self, ExpectError> {
        Self::try_bytes(bytes_of_hex(digits)?)
    }

    /// A match of a regular expression, in the syntax of the crate `regex`. It need not be valid UTF-8 (`(?-u)`).
    ///
    /// # Errors
    ///
    /// [`ExpectError::Regex`] if it does not compile, or would take more than a MiB.
    #[cfg(feature = "health-regex")]
    #[doc(alias = "expect rstring")]
    pub fn try_regex(regex: &str) -> Result<Self, ExpectError> {
        let mut builder = regex::bytes::RegexBuilder::new(regex);
        let compiled = builder.size_limit(1 << 20).build();
        let compiled = compiled.map_err(|error| ExpectError::Regex(error.to_string().into()))?;
        Ok(Self(Pattern::Regex(compiled)))
    }

    /// The end of the first match in `answer`.
    ///
    /// `searched` bytes were searched before. Only a regular expression may begin there and match now.
    pub(super) fn end_of_match(&self, answer: &[u8], searched: usize) -> Option<usize> {
        match &self.0 {
            Pattern::Bytes(bytes) => {
                let from = searched.saturating_sub(bytes.len() - 1);
                let new = answer.get(from..)?;
                let at = new
                    .windows(bytes.len())
                    .position(|window| *window == **bytes)?;
                Some(from + at + bytes.len())
            }
            #[cfg(feature = "health-regex")]
            Pattern::Regex(regex) => Some(regex.find(answer)?.end()),
        }
    }
}

/// Shows the pattern.
impl fmt::Debug for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Bytes(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            #[cfg(feature = "health-regex")]
            Pattern::Regex(regex) => write!(f, "~ {regex:?}"),
        }
    }
}

/// The bytes that `digits` are in hexadecimal. Blanks may separate the bytes.
pub(super) fn bytes_of_hex(digits: &str) -> Result<Vec<u8>, ExpectError> {
    let bad = || ExpectError::Hex(digits.into());
    let mut bytes = Vec::new();
    for word in digits.split_ascii_whitespace() {
        let (pairs, rest) = word.as_bytes().as_chunks::<2>();
        if !rest.is_empty() {
            return Err(bad());
        }
        for pair in pairs {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            let (high, low) = digit(0).zip(digit(1)).ok_or_else(bad)?;
            bytes.push((high * 16 + low) as u8);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hexadecimal_is_read_with_or_without_blanks() {
        assert_eq!(bytes_of_hex("2b4F 4b"), Ok(b"+OK".to_vec()));
        for bad in ["2", "2b4", "zz", "+1", "2 b", "é0"] {
            assert_eq!(
                bytes_of_hex(bad),
                Err(ExpectError::Hex(bad.into())),
                "{bad}"
            );
        }
        assert_eq!(Expect::try_hex(" ").err(), Some(ExpectError::Empty));
        assert_eq!(Expect::try_bytes("").err(), Some(ExpectError::Empty));
    }

    #[cfg(feature = "health-regex")]
    #[test]
    fn a_regular_expression_may_match_bytes() {
        let expect = Expect::try_regex(r"(?-u)^\x80+OK [0-9]+").unwrap();
        assert_eq!(expect.end_of_match(b"\x80\x80OK 12 ready", 0), Some(7));
        assert_eq!(expect.end_of_match(b"x\x80OK 12", 0), None);
        let bad = Expect::try_regex("(").err();
        assert!(matches!(bad, Some(ExpectError::Regex(_))), "{bad:?}");
        let huge = Expect::try_regex(r"(?:\w{1000}){1000}").err();
        assert!(matches!(huge, Some(ExpectError::Regex(_))), "{huge:?}");
    }

    proptest! {
        /// However the answer is split, a text is found at the same place.
        #[test]
        fn a_text_is_found_whatever_the_pieces(
            answer in "[ab]{0,40}",
            text in "[ab]{1,4}",
            cut in 0..40_usize,
        ) {
            let expect = Expect::try_bytes(&text).unwrap();
            let whole = answer.find(&text).map(|at| at + text.len());
            prop_assert_eq!(expect.end_of_match(answer.as_bytes(), 0), whole);
            let cut = cut.min(answer.len());
            let before = expect.end_of_match(&answer.as_bytes()[..cut], 0);
            let found = before.or_else(|| expect.end_of_match(answer.as_bytes(), cut));
            prop_assert_eq!(found, whole);
        }
    }
}
