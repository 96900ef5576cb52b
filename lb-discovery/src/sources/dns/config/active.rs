//! What a lookup goes by: name servers, search domains and hosts, given or from the system's files.

use std::hash::Hash;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::sync::Semaphore;

use crate::error::DiscoveryError;
use crate::sources::dns::config::hosts::Hosts;
use crate::sources::dns::config::resolv_conf::ResolvConf;
use crate::sources::dns::lookup::answer::{
    Addresses, Answer, Failures, Family, Known, Outcome, join,
};
use crate::sources::dns::lookup::questions::Questions;
use crate::sources::dns::server::error::what;
use crate::sources::dns::server::name_server::{Server, address};

/// Questions of one type that are out at the same time; more wait. Each costs a socket (and its resends one each),
/// of which a start with a thousand names must not take all. The types do not share them: one that is never
/// answered must not be in the others' way.
const CONCURRENT_QUESTIONS: usize = 32;

/// What the embedder wants; what it leaves open the files or the defaults decide.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) name_servers: Option<Vec<SocketAddr>>,
    pub(crate) resolv_conf: Option<PathBuf>,
    pub(crate) hosts: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempts: Option<usize>,
    pub(crate) valid: Option<Duration>,
}

/// What one lookup of a name leaves to the next.
#[derive(Default)]
pub(crate) struct Memory {
    known: Known,
    /// Questions that the last good lookup did not wait for, with those who were asked.
    pending: Option<(Questions, Arc<[Server]>)>,
}

impl Memory {
    fn uses(&self, name: &Name) -> bool {
        self.known.name.as_ref() == Some(name)
    }

    /// The questions for `name` that are still out with `servers`. Takes in what those have brought that are not.
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

/// Everything that a lookup needs.
pub(crate) struct Conf {
    servers: Arc<[Server]>,
    slots: Arc<[Semaphore; 3]>,
    search: Vec<Name>,
    ndots: usize,
    attempts: usize,
    hosts: Arc<Hosts>,
}

impl Conf {
    pub(crate) fn new(
        given: ResolvConf,
        options: &Options,
        hosts: Arc<Hosts>,
    ) -> Result<Self, DiscoveryError> {
        let set = options.timeout.filter(|timeout| !timeout.is_zero());
        let timeout = set.unwrap_or(given.timeout);
        let servers = given.servers.iter().map(|addr| Server::new(*addr, timeout));
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            slots: Arc::new([(); 3].map(|()| Semaphore::new(CONCURRENT_QUESTIONS))),
            search: given.search,
            ndots: given.ndots,
            attempts: options.attempts.unwrap_or(given.attempts).max(1),
            hosts,
        })
    }

    pub(crate) fn with_hosts(&self, hosts: Hosts) -> Self {
        Self {
            servers: Arc::clone(&self.servers),
            slots: Arc::clone(&self.slots),
            search: self.search.clone(),
            ndots: self.ndots,
            attempts: self.attempts,
            hosts: Arc::new(hosts),
        }
    }

    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    pub(crate) fn hosts(&self) -> &Arc<Hosts> {
        &self.hosts
    }

    /// Looks up all addresses of `name`, which errors call `shown`: in the hosts file, then as each of its
    /// candidates. A question that is cut short runs on, so that its answer is there for the next lookup.
    pub(crate) async fn lookup(
        self: &Arc<Self>,
        name: &Name,
        families: &[Family],
        shown: &str,
        memory: &Mutex<Memory>,
    ) -> Result<Addresses, DiscoveryError> {
        let listed = self.hosts.find(name, families);
        if !listed.is_empty() {
            return Ok(Addresses {
                addrs: listed.into_iter().collect(),
                valid_for: None,
                catching_up: false,
            });
        }
        let lock = || memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failures = Failures::default();
        let mut candidates = self.candidates(name).into_iter();
        while let Some(candidate) = candidates.next() {
            let (mut questions, used) = {
                let mut memory = lock();
                let questions = memory.resume(&candidate, &self.servers);
                (questions, memory.uses(&candidate))
            };
            for family in families {
                let (conf, name, shown) = (Arc::clone(self), candidate.clone(), Box::from(shown));
                let kind = family.record_type();
                let question = async move { conf.ask(&name, kind, &shown, address).await };
                questions.ask(*family, question);
            }
            // Where another name is next, a name without A records because it does not exist needs no second opinion.
            // A denial for AAAA does: some servers deny names that have A records only (RFC 4074 section 4.2).
            let others = !used && candidates.len() > 0;
            let denied = |family: Family, outcome: &Outcome| {
                let not_found = matches!(outcome, Err(DiscoveryError::NotFound { .. }));
                not_found && family == Family::V4 && others
            };
            let enough = |family, outcome: &Outcome| outcome.is_ok() || denied(family, outcome);
            let mut outcomes = questions.outcomes(shown, enough).await;
            if outcomes
                .iter()
                .any(|(family, outcome)| denied(*family, outcome))
            {
                let silent = |outcome: &_| matches!(outcome, Err(DiscoveryError::Timeout { .. }));
                outcomes.retain(|(_, outcome)| !silent(outcome));
            }
            let mut memory = lock();
            let used = memory.uses(&candidate);
            match join(&candidate, outcomes, &mut memory.known) {
                Ok(found) => {
                    let pending = questions.is_open();
                    memory.pending = pending.then(|| (questions, Arc::clone(&self.servers)));
                    return Ok(found);
                }
                // The name that the addresses came from cannot be asked: others must not take its place.
                Err(error) if used && !error.is_authoritative_empty() => return Err(error),
                Err(error) => failures.add(error),
            }
        }
        Err(failures.into_error(shown))
    }

    /// The absolute names that `name` may stand for, in the order to try them (resolv.conf(5)).
    pub(crate) fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut absolute = name.clone();
        absolute.set_fqdn(true);
        if name.is_fqdn() {
            return vec![absolute];
        }
        // A search domain that makes the name too long yields no name.
        let searched = self.search.iter().filter_map(|domain| {
            let mut full = name.clone().append_domain(domain).ok()?;
            full.set_fqdn(true);
            Some(full)
        });
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let mut names: Vec<Name> = searched.collect();
        if dots >= self.ndots || name.is_localhost() {
            names.insert(0, absolute);
        } else {
            names.push(absolute);
        }
        names
    }

    /// Asks one question until a server gives a definite answer. `read` takes what is wanted out of a record.
    pub(crate) async fn ask<T: Eq + Hash>(
        &self,
        name: &Name,
        kind: RecordType,
        shown: &str,
        read: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DiscoveryError> {
        let slots = match kind {
            RecordType::A => &self.slots[0],
            RecordType::AAAA => &self.slots[1],
            _ => &self.slots[2],
        };
        let _slot = slots.acquire().await; // fails only if closed, which it never is
        let mut servers: Vec<&Server> = self.servers.iter().collect();
        servers.sort_by_key(|server| server.is_avoided());
        let mut last = None;
        for _ in 0..self.attempts {
            let mut silent = Vec::new();
            for server in servers {
                match server.ask(name, kind, shown, read).await {
                    Err(error) if !error.is_authoritative_empty() => {
                        // One that did answer would answer the same again.
                        if matches!(error, DiscoveryError::Timeout { .. }) {
                            silent.push(server);
                        }
                        last = Some(error);
                    }
                    definite => return definite,
                }
            }
            servers = silent;
        }
        Err(last.unwrap_or_else(|| DiscoveryError::Unavailable {
            what: what(shown),
            problem: "there are no name servers".into(),
            source: None,
        }))
    }
}

#[cfg(test)]
mod tests;
