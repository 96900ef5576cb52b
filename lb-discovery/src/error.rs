//! What can go wrong.

use std::error::Error;
use std::time::Duration;

use lb_core::Escaped;

/// Why a source has no set to offer.
///
/// Every message names what was tried (`what`) first: `looking up node1.example.com: no such name (NXDOMAIN)`.
/// Messages are one line: what a server or a file said is [`Escaped`](lb_core::Escaped).
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The source ended its stream.
    #[error("{}: the source ended", Escaped(what))]
    Closed {
        /// What was tried.
        what: Box<str>,
    },
    /// The configuration is wrong, so trying again is of no use before it changes.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    Config {
        /// What was tried.
        what: Box<str>,
        /// What is wrong.
        problem: Box<str>,
        /// The cause, if another error is one.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The source answered that it will not tell, as a DNS server does with `REFUSED`.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    Denied {
        /// What was tried.
        what: Box<str>,
        /// Who refused.
        problem: Box<str>,
    },
    /// The source answers that its backends are withdrawn or that it never had any, and why: the Service is deleted, for
    /// instance. Authoritative. Empties the set whatever [`OnEmpty`](crate::OnEmpty) says, because the addresses may
    /// belong to another owner by now.
    #[error("{what}: {problem}")]
    NoBackends {
        /// What was tried.
        what: Box<str>,
        /// Why there is no backend.
        problem: Box<str>,
        /// How long the answer holds, if the source said so.
        valid_for: Option<Duration>,
    },
    /// The name exists, but has no records of the wanted type, or none that can be used. Authoritative.
    #[error("{}: no records (NODATA)", Escaped(what))]
    NoData {
        /// What was tried.
        what: Box<str>,
        /// How long the answer holds, if the source said so.
        valid_for: Option<Duration>,
    },
    /// The service is decidedly not offered: its SRV records name no target (RFC 2782). Authoritative.
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
    /// The name, or the object that was asked for, does not exist. Authoritative.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    NotFound {
        /// What was tried.
        what: Box<str>,
        /// What does not exist.
        problem: Box<str>,
        /// How long the answer holds, if the source said so.
        valid_for: Option<Duration>,
    },
    /// Nobody answered in time.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    Timeout {
        /// What was tried.
        what: Box<str>,
        /// Who did not answer, and within what time.
        problem: Box<str>,
    },
    /// What the source says cannot be used, such as a file that is not valid, or cannot be read. Asked again soon,
    /// because asking costs little and somebody may be about to correct it.
    #[error("{}: {}", Escaped(what), Escaped(problem))]
    Unusable {
        /// What was tried.
        what: Box<str>,
        /// What is wrong, and in which line.
        problem: Box<str>,
        /// When to ask again.
        valid_for: Duration,
    },
    /// The source cannot be reached, or cannot answer now, as a DNS server with `SERVFAIL`.
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
    /// Whether the source said with authority that there is no backend, as opposed to not having answered: an empty
    /// set, not a failure. True of [`NoBackends`](Self::NoBackends), [`NoData`](Self::NoData),
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

    /// Whether the set is to be emptied whatever the embedder wants of empty answers.
    pub(crate) fn is_withdrawal(&self) -> bool {
        matches!(self, Self::NoBackends { .. })
    }

    /// How long the answer holds, so that asking again earlier brings the same; of errors that are an answer. From DNS
    /// it is the lesser of the SOA record's TTL and its MINIMUM field (RFC 2308 section 5), of a file
    /// a second.
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

    /// The message with those of its causes, as one line for logs and status.
    pub(crate) fn report(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&Escaped(error).to_string());
            cause = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_stays_on_one_line_and_controls_nothing() {
        let said = "no\n\u{1b}[2Jemerg";
        let cause: Box<dyn Error + Send + Sync> = said.into();
        let error = DiscoveryError::Unavailable {
            what: said.into(),
            problem: said.into(),
            source: Some(cause),
        };
        let shown = r"no\n\u{1b}[2Jemerg";
        assert_eq!(error.to_string(), format!("{shown}: {shown}"));
        assert_eq!(error.report(), format!("{shown}: {shown}: {shown}"));
    }
}
