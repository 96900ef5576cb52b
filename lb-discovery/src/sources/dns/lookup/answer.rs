//! From two answers, for IPv4 and for IPv6, to one set of addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RecordType};
use lb_core::Escaped;
use tracing::warn;

use crate::error::DiscoveryError;
use crate::sources::dns::server::error::what;

/// How long a set is believed at most in which a family is missing or old but may soon be there: its question
/// failed, or is silent for the first time.
///
/// Long enough not to burden a server that fails, short enough to catch up when it does not. A family that stays
/// silent is not waited for in this way: then the set holds as long as the other family's answer.
pub(crate) const PARTIAL_VALIDITY: Duration = Duration::from_secs(10);

/// A kind of address.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub(crate) fn record_type(self) -> RecordType {
        match self {
            Self::V4 => RecordType::A,
            Self::V6 => RecordType::AAAA,
        }
    }
}

/// A positive answer to one question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer<T> {
    /// What the records say, in any order; not empty.
    pub(crate) records: Vec<T>,
    pub(crate) valid_for: Duration,
}

/// What one question for addresses brought.
pub(crate) type Outcome = Result<Answer<IpAddr>, DiscoveryError>;

/// The addresses of a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Addresses {
    pub(crate) addrs: BTreeSet<IpAddr>,
    /// The least TTL. `None` if there is none.
    pub(crate) valid_for: Option<Duration>,
    /// Whether a family is missing or old that may soon be there, so that [`PARTIAL_VALIDITY`] bounds the validity.
    pub(crate) catching_up: bool,
}

/// What the last good lookup found, and under which of the searched names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Known {
    pub(crate) name: Option<Name>,
    pub(crate) v4: Vec<IpAddr>,
    pub(crate) v6: Vec<IpAddr>,
    /// Whether a family's question had failed, so that its addresses are missing or older.
    pub(crate) partial: bool,
}

impl Known {
    /// Takes in the outcome of a question that the last good lookup did not wait for.
    pub(crate) fn catch_up(&mut self, family: Family, outcome: Outcome) {
        match outcome {
            Ok(answer) => *self.of(family) = answer.records,
            Err(error) if error.is_authoritative_empty() => self.of(family).clear(),
            Err(_) => {}
        }
    }

    fn of(&mut self, family: Family) -> &mut Vec<IpAddr> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// Joins what the families' questions for one name brought, and updates what is `known` of it.
///
/// A family whose question fails keeps its last addresses as long as the other one answers: half an answer must not
/// take backends out of service, and must not keep the other half from being followed. If nothing positive comes
/// back, a failure counts more than an authoritative "nothing".
pub(crate) fn join(
    name: &Name,
    outcomes: Vec<(Family, Outcome)>,
    known: &mut Known,
) -> Result<Addresses, DiscoveryError> {
    let mut next = Known {
        name: Some(name.clone()),
        ..Known::default()
    };
    let mut valid_for = Duration::MAX;
    let mut answered = false;
    let mut failures = Failures::default();
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
                warn!(name = %Escaped(name), error = %error.report(), "Half of the addresses are missing or old");
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
        *known = Known::default();
    }
    Err(error)
}

/// The failures of several attempts at one thing, of which one is told.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// The first that is no authoritative empty answer.
    failure: Option<DiscoveryError>,
    absence: Option<DiscoveryError>,
}

impl Failures {
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

    /// The one to tell: a failure counts more than an authoritative "nothing". Without any it is the latter.
    pub(crate) fn into_error(self, shown: &str) -> DiscoveryError {
        let told = self.failure.or(self.absence);
        told.unwrap_or_else(|| DiscoveryError::NoData {
            what: what(shown),
            valid_for: None,
        })
    }
}

/// Of two authoritative empty answers the one that claims less, with the shorter validity of both.
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
