//! What a lookup goes by: name servers, search domains and hosts, given or from the system's files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::Hosts;
use hickory_resolver::proto::rr::Name;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::answer::{Addresses, Family, Known, Outcome, join, least};
use super::questions::Questions;
use super::server::{Server, no_such_name, what};
use super::system::{BoxError, ResolvConf, WatchedFile, find_host, parse_hosts};
use crate::error::DiscoveryError;

/// Questions of one family that are out at the same time; more wait. Each costs a socket (and its resends one each),
/// of which a start with a thousand names must not take all. The families do not share them: one that is never
/// answered must not be in the other's way.
const CONCURRENT_QUESTIONS: usize = 32;

/// What the embedder wants; what it leaves open the files or the defaults decide.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) name_servers: Option<Vec<SocketAddr>>,
    pub(super) resolv_conf: Option<PathBuf>,
    pub(super) hosts: Option<PathBuf>,
    pub(super) timeout: Option<Duration>,
    pub(super) attempts: Option<usize>,
    pub(super) valid: Option<Duration>,
}

/// The files that a [`Conf`] comes from, if any.
pub(super) struct Files {
    resolv_conf: Option<WatchedFile>,
    hosts: Option<WatchedFile>,
}

impl Files {
    pub(super) fn read(options: &Options) -> Result<(Self, Conf), DiscoveryError> {
        let mut files = Self {
            resolv_conf: None,
            hosts: None,
        };
        let given = match &options.name_servers {
            Some(servers) => ResolvConf {
                servers: servers.clone(),
                search: Vec::new(),
                ndots: 1,
                timeout: Duration::from_secs(2),
                attempts: 2,
            },
            None => {
                let path = options.resolv_conf.as_deref();
                let path = path.unwrap_or_else(|| Path::new("/etc/resolv.conf"));
                let (file, text) = WatchedFile::open(path)?;
                let read = ResolvConf::parse(&text).map_err(|error| unusable(&file, error))?;
                files.resolv_conf = Some(file);
                read
            }
        };
        let default = options
            .name_servers
            .is_none()
            .then_some(Path::new("/etc/hosts"));
        let mut hosts = Hosts::default();
        if let Some(path) = options.hosts.as_deref().or(default) {
            let (file, text) = WatchedFile::open(path)?;
            hosts = parse_hosts(&text).map_err(|error| unusable(&file, error))?;
            files.hosts = Some(file);
        }
        let conf = Conf::new(given, options, Arc::new(hosts))?;
        Ok((files, conf))
    }

    /// Takes over what changed in the files. One that cannot be used changes nothing.
    pub(super) fn follow(&mut self, options: &Options, conf: &mut Arc<Conf>) {
        if let Some(file) = &mut self.resolv_conf
            && let Some(text) = file.changed()
        {
            let read = text.and_then(|text| ResolvConf::parse(&text));
            let next = read.map_err(|error| unusable(file, error));
            let next = next.and_then(|read| Conf::new(read, options, Arc::clone(&conf.hosts)));
            replace(conf, next, file);
        }
        if let Some(file) = &mut self.hosts
            && let Some(text) = file.changed()
        {
            let read = text.and_then(|text| parse_hosts(&text));
            let next = read.map_err(|error| unusable(file, error));
            replace(conf, next.map(|hosts| conf.with_hosts(hosts)), file);
        }
    }
}

fn replace(conf: &mut Arc<Conf>, next: Result<Conf, DiscoveryError>, file: &WatchedFile) {
    let path = file.path().display();
    match next {
        Ok(next) => {
            *conf = Arc::new(next);
            info!(%path, servers = ?conf.servers, "Read the changed file");
        }
        Err(error) => {
            warn!(%path, error = %error.report(), "Cannot use the changed file, keeping what it said");
        }
    }
}

fn unusable(file: &WatchedFile, error: BoxError) -> DiscoveryError {
    DiscoveryError::Config {
        what: format!("reading {}", file.path().display()).into(),
        problem: "the file cannot be used".into(),
        source: Some(error),
    }
}

/// What one lookup of a name leaves to the next.
#[derive(Default)]
pub(super) struct Memory {
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
pub(super) struct Conf {
    servers: Arc<[Server]>,
    slots: Arc<[Semaphore; 2]>,
    search: Vec<Name>,
    ndots: usize,
    attempts: usize,
    hosts: Arc<Hosts>,
}

impl Conf {
    fn new(
        given: ResolvConf,
        options: &Options,
        hosts: Arc<Hosts>,
    ) -> Result<Self, DiscoveryError> {
        let timeout = options.timeout.unwrap_or(given.timeout);
        let servers = given.servers.iter().map(|addr| Server::new(*addr, timeout));
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            slots: Arc::new([(); 2].map(|()| Semaphore::new(CONCURRENT_QUESTIONS))),
            search: given.search,
            ndots: given.ndots,
            attempts: options.attempts.unwrap_or(given.attempts).max(1),
            hosts,
        })
    }

    fn with_hosts(&self, hosts: Hosts) -> Self {
        Self {
            servers: Arc::clone(&self.servers),
            slots: Arc::clone(&self.slots),
            search: self.search.clone(),
            ndots: self.ndots,
            attempts: self.attempts,
            hosts: Arc::new(hosts),
        }
    }

    /// Looks up all addresses of `name`, which errors call `shown`: in the hosts file, then as each of its
    /// candidates. A question that is cut short runs on, so that its answer is there for the next lookup.
    pub(super) async fn lookup(
        self: &Arc<Self>,
        name: &Name,
        families: &[Family],
        shown: &str,
        memory: &Mutex<Memory>,
    ) -> Result<Addresses, DiscoveryError> {
        let listed = find_host(&self.hosts, name, families);
        if !listed.is_empty() {
            return Ok(Addresses {
                addrs: listed.into_iter().collect(),
                valid_for: None,
                catching_up: false,
            });
        }
        let lock = || memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failure = None;
        let mut absence = None;
        let mut candidates = self.candidates(name).into_iter();
        while let Some(candidate) = candidates.next() {
            let (mut questions, used) = {
                let mut memory = lock();
                let questions = memory.resume(&candidate, &self.servers);
                (questions, memory.uses(&candidate))
            };
            for family in families {
                let question = Arc::clone(self).ask(candidate.clone(), *family, shown.into());
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
                Err(error) if error.is_authoritative_empty() => {
                    absence = Some(match absence {
                        None => error,
                        Some(other) => least(other, error),
                    });
                }
                // The name that the addresses came from cannot be asked: others must not take its place.
                Err(error) if used => return Err(error),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        Err(failure
            .or(absence)
            .unwrap_or_else(|| no_such_name(shown, None)))
    }

    /// The absolute names that `name` may stand for, in the order to try them (resolv.conf(5)).
    fn candidates(&self, name: &Name) -> Vec<Name> {
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

    /// Asks one question until a server gives a definite answer.
    async fn ask(self: Arc<Self>, name: Name, family: Family, shown: Box<str>) -> Outcome {
        let _slot = self.slots[family as usize].acquire().await; // fails only if closed, which it never is
        let mut servers: Vec<&Server> = self.servers.iter().collect();
        servers.sort_by_key(|server| server.is_avoided());
        let mut last = None;
        for _ in 0..self.attempts {
            let mut silent = Vec::new();
            for server in servers {
                match server.ask(&name, family, &shown).await {
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
            what: what(&shown),
            problem: "there are no name servers".into(),
            source: None,
        }))
    }
}

#[cfg(test)]
mod tests;
