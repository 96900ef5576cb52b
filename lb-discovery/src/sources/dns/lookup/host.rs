//! From a host name to its addresses.

use std::sync::{Arc, Mutex, PoisonError};

use hickory_resolver::proto::rr::Name;

use crate::error::DiscoveryError;
use crate::ip_family::IpFamily;
use crate::sources::dns::config::lookup_config::LookupConfig;
use crate::sources::dns::lookup::addresses::{
    Addresses, AttemptErrors, LastAddresses, QuestionOutcome, join, record_type,
};
use crate::sources::dns::lookup::questions::Questions;
use crate::sources::dns::server::name_server::{Server, address};

/// State kept between two lookups of a name.
#[derive(Default)]
pub(crate) struct LookupState {
    known: LastAddresses,
    /// Questions that the last good lookup did not wait for, and the servers that they were sent to.
    pending: Option<(Questions, Arc<[Server]>)>,
}

impl LookupState {
    fn uses(&self, name: &Name) -> bool {
        self.known.name.as_ref() == Some(name)
    }

    /// The pending questions for `name` to `servers`. Stores the outcomes of those that have ended.
    fn resume(&mut self, name: &Name, servers: &Arc<[Server]>) -> Questions {
        let fits = |(questions, asked): &mut (Questions, Arc<[Server]>)| {
            questions.name() == name && Arc::ptr_eq(asked, servers)
        };
        let Some((mut questions, _)) = self.pending.take_if(fits) else {
            return Questions::new(name);
        };
        for (family, outcome) in questions.late() {
            if self.uses(name) {
                self.known.catch_up(family, outcome);
            }
        }
        questions
    }
}

impl LookupConfig {
    /// Looks up all addresses of `name`: in the hosts file, then as each of its candidates. `shown`: its name in errors.
    ///
    /// A question that the lookup does not wait for continues, so that the next lookup has its answer.
    pub(crate) async fn lookup(
        self: &Arc<Self>,
        name: &Name,
        families: &[IpFamily],
        shown: &str,
        state: &Mutex<LookupState>,
    ) -> Result<Addresses, DiscoveryError> {
        let listed = self.hosts.find(name, families);
        if !listed.is_empty() {
            return Ok(Addresses {
                addrs: listed.into_iter().collect(),
                valid_for: None,
                catching_up: false,
            });
        }
        let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failures = AttemptErrors::default();
        let mut candidates = self.candidates(name).into_iter();
        while let Some(candidate) = candidates.next() {
            let (mut questions, used) = {
                let mut state = lock();
                let questions = state.resume(&candidate, &self.servers);
                (questions, state.uses(&candidate))
            };
            for family in families {
                let (conf, name, shown) = (Arc::clone(self), candidate.clone(), Box::from(shown));
                let kind = record_type(*family);
                let question = async move { conf.ask(&name, kind, &shown, address).await };
                questions.ask(*family, question);
            }
            // If there is another candidate, NXDOMAIN for A is enough to continue with it. NXDOMAIN for AAAA is not: some
            // servers answer it for names that have A records only (RFC 4074 section 4.2).
            let has_next = !used && candidates.len() > 0;
            let denied = |family: IpFamily, outcome: &QuestionOutcome| {
                let not_found = matches!(outcome, Err(DiscoveryError::NotFound { .. }));
                not_found && family == IpFamily::V4 && has_next
            };
            let enough =
                |family, outcome: &QuestionOutcome| outcome.is_ok() || denied(family, outcome);
            let mut outcomes = questions.outcomes(shown, enough).await;
            let denied = |(family, outcome): &(_, _)| denied(*family, outcome);
            if outcomes.iter().any(denied) {
                outcomes.retain(|(_, outcome)| !is_timeout(outcome));
            }
            let mut state = lock();
            let used = state.uses(&candidate);
            match join(&candidate, outcomes, &mut state.known) {
                Ok(found) => {
                    let pending = questions.is_open();
                    state.pending = pending.then(|| (questions, Arc::clone(&self.servers)));
                    return Ok(found);
                }
                // The candidate that the addresses came from does not answer: another one must not replace it.
                Err(error) if used && !error.is_authoritative_empty() => return Err(error),
                Err(error) => failures.add(error),
            }
        }
        Err(failures.into_error(shown))
    }
}

fn is_timeout(outcome: &QuestionOutcome) -> bool {
    matches!(outcome, Err(DiscoveryError::Timeout { .. }))
}

#[cfg(test)]
mod tests;
