//! Errors of probes, and of describing checks.

use std::io;

/// A setting of a check that cannot work.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckSettingsError {
    /// The port is 0.
    #[error("the port to probe is 0: leave it out to probe the backend's own")]
    PortZero,
    /// Probes would follow each other too fast.
    #[error("`{setting}` is below 10 ms: probes would load the backends more than sessions do")]
    TooShort {
        /// The name of the interval.
        setting: &'static str,
    },
    /// A number is zero, so that no probe would be made or none would count.
    #[error("`{setting}` is zero: give it at least 1")]
    Zero {
        /// The name of the number.
        setting: &'static str,
    },
    /// Every probe would fail.
    #[error("the time-out of a probe is zero, so every probe would fail: give it a duration")]
    ZeroTimeout,
}

/// Why a probe failed, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The backend cannot be connected to.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// This machine has no descriptor, no source port or no such source address. It says nothing about the backend, so
    /// it is no result: the backend is probed again soon.
    #[error("cannot probe: {0}")]
    Local(io::Error),
    /// The connection broke, or ended too early.
    #[error("the connection failed: {0}")]
    Transfer(#[from] io::Error),
    /// Nothing was found that speaks for or against the backend, as if an agent does not answer. It is no result, and
    /// logged at most once a minute.
    #[error("{0}")]
    Inconclusive(Box<str>),
    /// The backend answered something else than what was expected.
    #[error("{0}")]
    Unexpected(Box<str>),
}

impl CheckError {
    /// The backend answered `bytes`, which were not expected. Their beginning is shown, escaped.
    pub fn unexpected(bytes: &[u8]) -> Self {
        const SHOWN: usize = 60;
        let text = match bytes {
            [] => "the backend sent nothing that was expected".into(),
            bytes => {
                let begin = &bytes[..bytes.len().min(SHOWN)];
                let more = if bytes.len() > SHOWN { " ..." } else { "" };
                format!("unexpected answer: \"{}\"{more}", begin.escape_ascii())
            }
        };
        Self::Unexpected(text.into())
    }
}
