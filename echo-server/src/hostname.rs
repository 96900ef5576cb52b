//! The name that starts every answer.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The length of the longest DNS name. Linux allows 64 bytes, so only a name from the command line can reach it.
const MAX_LEN: usize = 253;

/// A name that keeps an answer on one line: 1 to 253 bytes without control characters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hostname(Arc<str>);

impl Hostname {
    /// The machine's name, as `uname -n` prints it. In a pod with `hostNetwork: true` it is the node's.
    ///
    /// # Errors
    ///
    /// If the machine's name is not valid, for example empty.
    pub fn of_machine() -> Result<Self, HostnameError> {
        rustix::system::uname().nodename().to_string_lossy().parse()
    }
}

impl FromStr for Hostname {
    type Err = HostnameError;

    fn from_str(name: &str) -> Result<Self, HostnameError> {
        if name.is_empty() {
            Err(HostnameError::Empty)
        } else if name.contains(char::is_control) {
            Err(HostnameError::ControlCharacter { name: name.into() })
        } else if name.len() > MAX_LEN {
            Err(HostnameError::TooLong { len: name.len() })
        } else {
            Ok(Self(name.into()))
        }
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Hostname> for Arc<str> {
    fn from(hostname: Hostname) -> Self {
        hostname.0
    }
}

/// An error of reading a [`Hostname`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HostnameError {
    /// The name has a control character. A newline, for example, would end the answer before the line.
    #[error("hostname {name:?} has a control character")]
    #[non_exhaustive]
    ControlCharacter {
        /// The text.
        name: String,
    },
    /// The name is empty.
    #[error("hostname is empty")]
    Empty,
    /// The text is longer than a DNS name may be.
    #[error("hostname has {len} bytes, at most {MAX_LEN} are allowed")]
    #[non_exhaustive]
    TooLong {
        /// The length of the text in bytes.
        len: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_break_the_answer_are_refused() {
        for name in ["a\nb", "a\r", "\0", "a\u{7f}"] {
            let error = name.parse::<Hostname>().unwrap_err();
            assert_eq!(error, HostnameError::ControlCharacter { name: name.into() });
        }
        assert_eq!("".parse::<Hostname>(), Err(HostnameError::Empty));
        let len = MAX_LEN + 1;
        assert_eq!(
            "x".repeat(len).parse::<Hostname>(),
            Err(HostnameError::TooLong { len })
        );
    }

    #[test]
    fn the_message_shows_the_character() {
        let error = "a\nb".parse::<Hostname>().unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"hostname "a\nb" has a control character"#
        );
    }

    #[test]
    fn other_names_are_kept_as_they_are() {
        for name in [
            "node-1",
            "node-1.example.com",
            "knoten-äöü",
            &"x".repeat(MAX_LEN),
        ] {
            assert_eq!(name.parse::<Hostname>().unwrap().to_string(), name);
        }
    }
}
