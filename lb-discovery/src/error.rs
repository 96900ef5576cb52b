//! The errors of sources.

use std::error::Error;
use std::time::Duration;

use lb_core::Escaped;

/// The maximum number of characters of a report. The text of a server may have any length.
const MAX_REPORT: usize = 1000;

/// Why a source has no set.
///
/// Every message names what was tried (`what`) first: `looking up node1.example.com: no such name (NXDOMAIN)`.
/// Messages are one line: the text of a server or a file is [`Escaped`](lb_core::Escaped).
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The source ended its stream.
    #[error("{}: the source ended", Escaped(what))]
    Closed {
        /// What was tried.
        what: Box<str>,
    },
    /// The configuration is wrong. A retry fails as well until it changes.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    Config {
        /// What was tried.
        what: Box<str>,
        /// What is wrong.
        problem: Box<str>,
        /// The cause, if another error is one.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The source refused to answer, as a DNS server does with `REFUSED`.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    Denied {
        /// What was tried.
        what: Box<str>,
        /// Which server refused, and why.
        problem: Box<str>,
    },
    /// The source answers that its backends were withdrawn, or that it never had any. Authoritative.
    ///
    /// For instance, the Service was deleted. Empties the set whatever [`OnEmpty`](crate::OnEmpty) says, because the
    /// addresses may already belong to another owner.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    NoBackends {
        /// What was tried.
        what: Box<str>,
        /// Why there is no backend.
        problem: Box<str>,
        /// How long the answer holds, if the source said so.
        valid_for: Option<Duration>,
    },
    /// The name exists, but has no usable records of the wanted type. Authoritative.
    #[error("{}: no records (NODATA)", Escaped(what))]
    NoData {
        /// What was tried.
        what: Box<str>,
        /// How long the answer holds, if the source said so.
        valid_for: Option<Duration>,
    },
    /// The service is decidedly not available: its SRV records name no target (RFC 2782). Authoritative.
    #[error(
        "{}: the service is not offered here (its SRV record has no target)",
        Escaped(what)
    )]
    NoService {
        /// What was tried.
        what: Box<str>,
        /// How long the answer holds, if the source said so.
        valid_for: Option<Duration>,
    },
    /// The name or the object does not exist. Authoritative.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    NotFound {
        /// What was tried.
        what: Box<str>,
        /// What does not exist.
        problem: Box<str>,
        /// How long the answer holds, if the source said so.
        valid_for: Option<Duration>,
    },
    /// The code of the source panicked. The driver opens the watch again, as after any other failure.
    #[error("{}: panicked: {}", Escaped(what), Escaped(problem))]
    Panicked {
        /// What was tried.
        what: Box<str>,
        /// The message of the panic.
        problem: Box<str>,
    },
    /// The source is overloaded and asks for a delay, as an HTTP server does with `Retry-After`.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    Throttled {
        /// What was tried.
        what: Box<str>,
        /// The answer of the source.
        problem: Box<str>,
        /// How long the source asks to wait.
        retry_after: Duration,
    },
    /// The source did not answer in time.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    Timeout {
        /// What was tried.
        what: Box<str>,
        /// Which server did not answer, and the time limit.
        problem: Box<str>,
    },
    /// The answer cannot be used, such as an invalid or unreadable file, or is not accepted yet.
    ///
    /// The driver retries soon, because a retry is cheap and the next answer may differ.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    Unusable {
        /// What was tried.
        what: Box<str>,
        /// What is wrong, and in which line.
        problem: Box<str>,
        /// When to ask again.
        valid_for: Duration,
    },
    /// The source cannot be reached, or cannot answer at the moment, as a DNS server with `SERVFAIL`.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    Unavailable {
        /// What was tried.
        what: Box<str>,
        /// What happened.
        problem: Box<str>,
        /// The cause, if another error is one.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl DiscoveryError {
    /// Any error of a lookup as [`Unavailable`](Self::Unavailable). `what` was tried, such as the label of the source; logs and the
    /// status of the source show `cause` with its own causes.
    ///
    /// ```
    /// use lb_discovery::DiscoveryError;
    ///
    /// let refused = std::io::Error::other("connection refused");
    /// let error = DiscoveryError::unavailable("registry 10.0.0.9:4000", refused);
    /// assert_eq!(error.to_string(), "registry 10.0.0.9:4000: no usable answer");
    /// ```
    pub fn unavailable(
        what: impl AsRef<str>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable {
            what: what.as_ref().into(),
            problem: "no usable answer".into(),
            source: Some(cause.into()),
        }
    }

    /// Whether this is an authoritative answer that there are no backends: an empty set, not a failure. True of [`NoBackends`](Self::NoBackends), [`NoData`](Self::NoData),
    /// [`NoService`](Self::NoService) and [`NotFound`](Self::NotFound).
    pub fn is_authoritative_empty(&self) -> bool {
        matches!(
            self,
            Self::NoBackends { .. }
                | Self::NoData { .. }
                | Self::NoService { .. }
                | Self::NotFound { .. }
        )
    }

    /// Whether the set becomes empty whatever [`OnEmpty`](crate::OnEmpty) says.
    pub(crate) fn is_withdrawal(&self) -> bool {
        matches!(self, Self::NoBackends { .. })
    }

    /// How long the answer holds, for errors that are an answer: an earlier retry would return the same.
    ///
    /// For DNS, the minimum of the SOA record's TTL and its MINIMUM field (RFC 2308 section 5); for a file, a second.
    pub fn valid_for(&self) -> Option<Duration> {
        match self {
            Self::NoBackends { valid_for, .. }
            | Self::NoData { valid_for, .. }
            | Self::NoService { valid_for, .. }
            | Self::NotFound { valid_for, .. } => *valid_for,
            Self::Unusable { valid_for, .. } => Some(*valid_for),
            _ => None,
        }
    }

    /// The delay that the source asks for, of [`Throttled`](Self::Throttled).
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// Whether the code of the source panicked.
    pub(crate) const fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked { .. })
    }

    /// The message with those of its causes, as one line of limited length, for logs and status.
    pub(crate) fn report(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&Escaped(error).to_string());
            cause = error.source();
        }
        if let Some((end, _)) = text.char_indices().nth(MAX_REPORT) {
            text.truncate(end);
            text.push_str("...");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One error of each kind, with `said` in every field that can contain foreign text.
    fn each(said: &str) -> Vec<DiscoveryError> {
        let (what, problem) = (|| said.into(), || said.into());
        let source = || Some(said.into());
        let valid_for = None;
        vec![
            DiscoveryError::Closed { what: what() },
            DiscoveryError::Config {
                what: what(),
                problem: problem(),
                source: source(),
            },
            DiscoveryError::Denied {
                what: what(),
                problem: problem(),
            },
            DiscoveryError::NoBackends {
                what: what(),
                problem: problem(),
                valid_for,
            },
            DiscoveryError::NoData {
                what: what(),
                valid_for,
            },
            DiscoveryError::NoService {
                what: what(),
                valid_for,
            },
            DiscoveryError::NotFound {
                what: what(),
                problem: problem(),
                valid_for,
            },
            DiscoveryError::Panicked {
                what: what(),
                problem: problem(),
            },
            DiscoveryError::Throttled {
                what: what(),
                problem: problem(),
                retry_after: Duration::ZERO,
            },
            DiscoveryError::Timeout {
                what: what(),
                problem: problem(),
            },
            DiscoveryError::Unusable {
                what: what(),
                problem: problem(),
                valid_for: Duration::ZERO,
            },
            DiscoveryError::Unavailable {
                what: what(),
                problem: problem(),
                source: source(),
            },
        ]
    }

    #[test]
    fn foreign_text_stays_on_one_line_without_control_characters() {
        let shown = r"no\n\u{1b}[2Jemerg";
        for error in each("no\n\u{1b}[2Jemerg") {
            let (message, report) = (error.to_string(), error.report());
            assert!(message.starts_with(&format!("{shown}: ")), "{message}");
            let expected = match error.source() {
                Some(_) => format!("{message}: {shown}"),
                None => message.clone(),
            };
            assert_eq!(report, expected);
            assert!(!report.contains(char::is_control), "{report}");
        }
    }

    #[test]
    fn a_failed_lookup_is_reported_with_its_cause_once() {
        let error = DiscoveryError::unavailable("registry", "refused");
        assert_eq!(error.report(), "registry: no usable answer: refused");
        assert!(!error.is_authoritative_empty());
    }

    #[test]
    fn a_report_is_bounded_whatever_the_foreign_text() {
        for error in each(&"\u{e9}\n".repeat(100_000)) {
            let report = error.report();
            assert_eq!(report.chars().count(), MAX_REPORT + 3);
            assert!(report.ends_with("..."));
        }
        for error in each("short") {
            assert!(!error.report().ends_with("..."));
        }
    }
}
