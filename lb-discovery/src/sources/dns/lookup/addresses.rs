//! From two answers, for IPv4 and for IPv6, to one set of addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RecordType};
use lb_core::Escaped;
use tracing::warn;

use crate::error::DiscoveryError;
use crate::ip_family::IpFamily;
use crate::sources::dns::server::answer::Answer;
use crate::sources::dns::server::error::what;

/// The maximum validity of a set with a missing or outdated family that may soon be answered: its question failed, or got
/// no answer for the first time.
///
/// Long enough not to burden a failing server, short enough to catch up after it recovers. If a family repeatedly gets no
/// answer, the set holds for the time of the other family's answer.
pub(crate) const PARTIAL_VALIDITY: Duration = Duration::from_secs(10);

/// The type of the records with addresses of `family`.
pub(crate) fn record_type(family: IpFamily) -> RecordType {
    match family {
        IpFamily::V4 => RecordType::A,
        IpFamily::V6 => RecordType::AAAA,
    }
}

/// The outcome of one question for addresses.
pub(crate) type QuestionOutcome = Result<Answer<IpAddr>, DiscoveryError>;

/// The addresses of a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Addresses {
    pub(crate) addrs: BTreeSet<IpAddr>,
    /// The least TTL. `None` if there is none.
    pub(crate) valid_for: Option<Duration>,
    /// Whether a missing or outdated family may soon be answered, so that [`PARTIAL_VALIDITY`] limits the validity.
    pub(crate) catching_up: bool,
}

/// The addresses of the last good lookup, and the candidate name that they came from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct LastAddresses {
    pub(crate) name: Option<Name>,
    pub(crate) v4: Vec<IpAddr>,
    pub(crate) v6: Vec<IpAddr>,
    /// Whether a family's question failed, so that its addresses are missing or outdated.
    pub(crate) partial: bool,
}

impl LastAddresses {
    /// Stores the outcome of a question that the last good lookup did not wait for.
    pub(crate) fn catch_up(&mut self, family: IpFamily, outcome: QuestionOutcome) {
        match outcome {
            Ok(answer) => *self.of(family) = answer.records,
            Err(error) if error.is_authoritative_empty() => self.of(family).clear(),
            Err(_) => {}
        }
    }

    fn of(&mut self, family: IpFamily) -> &mut Vec<IpAddr> {
        match family {
            IpFamily::V4 => &mut self.v4,
            IpFamily::V6 => &mut self.v6,
        }
    }
}

/// Joins the outcomes of the families' questions for one name, and updates the `known` addresses.
///
/// If one family's question fails and the other one's does not, the failing family keeps its last addresses: half an
/// answer must neither remove backends nor delay the other half. Without a positive answer, a failure takes precedence
/// over an authoritative empty answer.
pub(crate) fn join(
    name: &Name,
    outcomes: Vec<(IpFamily, QuestionOutcome)>,
    known: &mut LastAddresses,
) -> Result<Addresses, DiscoveryError> {
    let mut next = LastAddresses {
        name: Some(name.clone()),
        ..LastAddresses::default()
    };
    let mut valid_for = Duration::MAX;
    let mut answered = false;
    let mut failures = AttemptErrors::default();
    for (family, outcome) in outcomes {
        match outcome {
            Ok(answer) => {
                answered = true;
                valid_for = valid_for.min(answer.valid_for);
                *next.of(family) = answer.records;
            }
            Err(error) => {
                if !error.is_authoritative_empty() && known.name.as_ref() == Some(name) {
                    *next.of(family) = known.of(family).clone();
                }
                failures.add(error);
            }
        }
    }
    if answered {
        let mut catching_up = false;
        if let Some(error) = &failures.failure {
            let silent = matches!(error, DiscoveryError::Timeout { .. });
            catching_up = !(silent && known.partial);
            next.partial = true;
            if !known.partial {
                warn!(name = %Escaped(name), error = %error.report(), "Addresses of one family missing or outdated");
            }
        }
        let addrs = next.v4.iter().chain(&next.v6).copied().collect();
        *known = next;
        return Ok(Addresses {
            addrs,
            valid_for: Some(valid_for),
            catching_up,
        });
    }
    let error = failures.into_error(&name.to_string());
    if error.is_authoritative_empty() && known.name.as_ref() == Some(name) {
        *known = LastAddresses::default();
    }
    Err(error)
}

/// The errors of several attempts, of which one is reported.
#[derive(Debug, Default)]
pub(crate) struct AttemptErrors {
    /// The first that is no authoritative empty answer.
    failure: Option<DiscoveryError>,
    absence: Option<DiscoveryError>,
}

impl AttemptErrors {
    pub(crate) fn add(&mut self, error: DiscoveryError) {
        if !error.is_authoritative_empty() {
            self.failure.get_or_insert(error);
            return;
        }
        self.absence = Some(match self.absence.take() {
            None => error,
            Some(other) => least(other, error),
        });
    }

    /// The error to report: a failure takes precedence over an authoritative empty answer. Without any error, NODATA.
    pub(crate) fn into_error(self, shown: &str) -> DiscoveryError {
        let reported = self.failure.or(self.absence);
        reported.unwrap_or_else(|| DiscoveryError::NoData {
            what: what(shown),
            valid_for: None,
        })
    }
}

/// Of two authoritative empty answers, the weaker claim (NODATA), with the shorter validity of both.
fn least(a: DiscoveryError, b: DiscoveryError) -> DiscoveryError {
    let shorter = match (a.valid_for(), b.valid_for()) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let mut least = if matches!(a, DiscoveryError::NoData { .. }) {
        a
    } else {
        b
    };
    if let DiscoveryError::NoData { valid_for, .. }
    | DiscoveryError::NoService { valid_for, .. }
    | DiscoveryError::NotFound { valid_for, .. } = &mut least
    {
        *valid_for = shorter;
    }
    least
}

#[cfg(test)]
mod tests;
