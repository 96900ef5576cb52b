//! The configuration of lookups: name servers, search domains and hosts, given or from the system's files.

use std::hash::Hash;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::sync::Semaphore;

use crate::error::DiscoveryError;
use crate::sources::dns::config::hosts::Hosts;
use crate::sources::dns::config::resolv_conf::ResolvConf;
use crate::sources::dns::server::answer::Answer;
use crate::sources::dns::server::error::what;
use crate::sources::dns::server::name_server::{Server, reserved};

/// The default of the maximum number of concurrent questions of one type; more wait. Each uses a socket, and each resend
/// one more: a start with a thousand names must not use up all descriptors. Each type has its own limit, so that a type
/// that is never answered does not delay another one.
const CONCURRENT_QUESTIONS: usize = 32;

/// The options of the embedder. The files or the defaults set the rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResolverOptions {
    pub(crate) name_servers: Option<Vec<SocketAddr>>,
    pub(crate) resolv_conf: Option<PathBuf>,
    pub(crate) hosts: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempts: Option<usize>,
    pub(crate) valid: Option<Duration>,
    pub(crate) concurrent_questions: Option<usize>,
}

/// The configuration in use. Replaced as a whole when a file changes.
pub(crate) struct LookupConfig {
    pub(crate) servers: Arc<[Server]>,
    pub(crate) slots: Arc<[Semaphore; 3]>,
    pub(crate) search: Vec<Name>,
    pub(crate) ndots: usize,
    pub(crate) attempts: usize,
    pub(crate) hosts: Arc<Hosts>,
    /// The name servers are the system's, so reserved names are not theirs to answer.
    pub(crate) is_system: bool,
}

impl LookupConfig {
    pub(crate) fn new(
        given: ResolvConf,
        options: &ResolverOptions,
        hosts: Arc<Hosts>,
    ) -> Result<Self, DiscoveryError> {
        let set = options.timeout.filter(|timeout| !timeout.is_zero());
        let timeout = set.unwrap_or(given.timeout);
        let servers = given.servers.iter().map(|addr| Server::new(*addr, timeout));
        let concurrent = options.concurrent_questions.unwrap_or(CONCURRENT_QUESTIONS);
        let concurrent = concurrent.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            slots: Arc::new([(); 3].map(|()| Semaphore::new(concurrent))),
            search: given.search,
            ndots: given.ndots,
            attempts: options.attempts.unwrap_or(given.attempts).max(1),
            hosts,
            is_system: options.name_servers.is_none(),
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
            is_system: self.is_system,
        }
    }

    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    pub(crate) fn hosts(&self) -> &Arc<Hosts> {
        &self.hosts
    }

    /// The absolute names that `name` may mean, in the order to try them (resolv.conf(5)).
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

    /// Asks servers one question until one gives a definite answer. `read` extracts the wanted part of a record.
    pub(crate) async fn ask<T: Eq + Hash>(
        &self,
        name: &Name,
        kind: RecordType,
        shown: &str,
        read: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DiscoveryError> {
        if self.is_system
            && let Some(answer) = reserved(name, kind, shown, read)
        {
            return answer;
        }
        let slots = match kind {
            RecordType::A => &self.slots[0],
            RecordType::AAAA => &self.slots[1],
            _ => &self.slots[2],
        };
        // Fails only if closed, which it never is. Each server has its own turn, so that a name with silent servers does not
        // keep others waiting for all its attempts. The first turn begins before the order is known: the order may change while it waits.
        let mut slot = Some(slots.acquire().await);
        let mut servers: Vec<&Server> = self.servers.iter().collect();
        servers.sort_by_key(|server| server.is_avoided());
        let mut last = None;
        for _ in 0..self.attempts {
            let mut silent = Vec::new();
            for server in servers {
                let held = match slot.take() {
                    Some(held) => held,
                    None => slots.acquire().await,
                };
                let answer = server.ask(name, kind, shown, read).await;
                drop(held);
                match answer {
                    Err(error) if !error.is_authoritative_empty() => {
                        // A server that answered would give the same answer again.
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
