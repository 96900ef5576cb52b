//! What can go wrong.

use std::error::Error;
use std::time::Duration;

/// Why a source has no set to offer.
///
/// Every message names what was tried (`what`) first: `looking up node1.example.com: no such name (NXDOMAIN)`.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The source ended its stream.
    #[error("{what}: the source ended")]
    Closed {
        /// What was tried.
        what: Box<str>,
    },
    /// The configuration is wrong, so trying again is of no use before it changes.
    #[error("{what}: {problem}")]
    Config {
        /// What was tried.
        what: Box<str>,
        /// What is wrong.
        problem: Box<str>,
        /// The cause, if another error is one.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The source answered that it will not tell, as a DNS server does with `REFUSED`.
    #[error("{what}: {problem}")]
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
    #[error("{what}: no records (NODATA)")]
    NoData {
        /// What was tried.
        what: Box<str>,
        /// How long the answer holds, if the source said so.
        valid_for: Option<Duration>,
    },
    /// The service is decidedly not offered: its SRV records name no target (RFC 2782). Authoritative.
    #[error("{what}: the service is not offered here (its SRV record has no target)")]
    NoService {
        /// What was tried.
        what: Box<str>,
        /// How long the answer holds, if the source said so.
        valid_for: Option<Duration>,
    },
    /// The name, or the object that was asked for, does not exist. Authoritative.
    #[error("{what}: {problem}")]
    NotFound {
        /// What was tried.
        what: Box<str>,
        /// What does not exist.
        problem: Box<str>,
        /// How long the answer holds, if the source said so.
        valid_for: Option<Duration>,
    },
    /// Nobody answered in time.
    #[error("{what}: {problem}")]
    Timeout {
        /// What was tried.
        what: Box<str>,
        /// Who did not answer, and within what time.
        problem: Box<str>,
    },
    /// What the source says cannot be used, such as a file that is not valid, or cannot be read. Asked again soon,
    /// because asking costs little and somebody may be about to correct it.
    #[error("{what}: {problem}")]
    Unusable {
        /// What was tried.
        what: Box<str>,
        /// What is wrong, and in which line.
        problem: Box<str>,
        /// When to ask again.
        valid_for: Duration,
    },
    /// The source cannot be reached, or cannot answer now, as a DNS server with `SERVFAIL`.
    #[error("{what}: {problem}")]
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
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
