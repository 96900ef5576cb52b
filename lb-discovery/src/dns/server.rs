//! One name server.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::time::{Instant, timeout};

use super::answer::Answer;
use crate::error::DiscoveryError;

/// How long a server that did not answer is asked after the others only.
const AVOID_FOR: Duration = Duration::from_secs(30);

/// The most names of one answer that an alias leads to. As many as any resolver follows.
const MAX_ALIASES: usize = 16;

/// One name server, over UDP, and TCP where an answer is truncated.
///
/// Its client is made for this server alone, because a pool of several would report the `SERVFAIL` of one as the
/// answer of all. It caches nothing: how long an answer holds is [`Poll`](crate::Poll)'s to know.
pub(super) struct Server {
    addr: SocketAddr,
    client: TokioResolver,
    timeout: Duration,
    avoid_until: Mutex<Option<Instant>>,
}

impl Server {
    pub(super) fn new(addr: SocketAddr, timeout: Duration) -> Result<Self, DiscoveryError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        let connections = connections.map(|mut connection| {
            connection.port = addr.port();
            connection
        });
        let server = NameServerConfig::new(addr.ip(), true, connections.into());
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options(timeout);
        let client = builder.build().map_err(|error| DiscoveryError::Config {
            what: format!("name server {addr}").into(),
            problem: "cannot be used".into(),
            source: Some(error.into()),
        })?;
        Ok(Self {
            addr,
            client,
            timeout,
            avoid_until: Mutex::new(None),
        })
    }

    /// Asks for the records of one type that the absolute `name` has, once; `read` takes what is wanted out of each.
    /// `shown` is what the errors call the name.
    pub(super) async fn ask<T: Eq + Hash>(
        &self,
        name: &Name,
        kind: RecordType,
        shown: &str,
        read: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DiscoveryError> {
        let question = self.client.lookup(name.clone(), kind);
        let result = timeout(self.timeout, question).await;
        let result = result.unwrap_or(Err(NetError::Timeout));
        self.avoid(matches!(result, Err(NetError::Timeout | NetError::Io(_))));
        let lookup = match result {
            Ok(lookup) => lookup,
            Err(error) => return Err(self.explain(error, shown)),
        };
        let records = own_records(name, lookup.answers());
        let wanted: HashSet<T> = records.iter().filter_map(|r| read(&r.data)).collect();
        if wanted.is_empty() {
            return Err(DiscoveryError::NoData {
                what: what(shown),
                valid_for: None,
            });
        }
        let ttl = records.iter().map(|record| record.ttl).min();
        Ok(Answer {
            records: wanted.into_iter().collect(),
            valid_for: Duration::from_secs(ttl.unwrap_or_default().into()),
        })
    }

    /// Whether it did not answer lately.
    pub(super) fn is_avoided(&self) -> bool {
        self.avoid_until()
            .is_some_and(|until| Instant::now() < until)
    }

    fn avoid(&self, avoid: bool) {
        *self.avoid_until() = avoid.then(|| Instant::now() + AVOID_FOR);
    }

    fn avoid_until(&self) -> MutexGuard<'_, Option<Instant>> {
        let guard = self.avoid_until.lock();
        guard.unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the client's error into our words.
    fn explain(&self, error: NetError, shown: &str) -> DiscoveryError {
        let problem = match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => {
                return self.explain_none(&none, shown);
            }
            NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => {
                return DiscoveryError::Denied {
                    what: what(shown),
                    problem: format!("{} refused to answer (REFUSED)", self.addr).into(),
                };
            }
            NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => "failed (SERVFAIL)",
            NetError::Dns(DnsError::ResponseCode(ResponseCode::FormErr)) => {
                "did not understand the question (FORMERR)"
            }
            NetError::Dns(DnsError::ResponseCode(ResponseCode::NotImp)) => {
                "does not answer such questions (NOTIMP)"
            }
            NetError::Truncated => "truncated its answer over TCP, too",
            NetError::Busy => "has too many questions open",
            NetError::Timeout => return self.timed_out(shown),
            NetError::Io(error) => {
                let error = io::Error::new(error.kind(), error.to_string());
                return self.unavailable(shown, "cannot be reached", Some(error.into()));
            }
            error => return self.unavailable(shown, "gave no usable answer", Some(error.into())),
        };
        self.unavailable(shown, problem, None)
    }

    fn explain_none(&self, none: &NoRecords, shown: &str) -> DiscoveryError {
        let valid_for = none.negative_ttl.map(|ttl| Duration::from_secs(ttl.into()));
        match none.response_code {
            ResponseCode::NXDomain => no_such_name(shown, valid_for),
            // Name servers instead of an SOA record are a referral to them, not the answer that there is nothing
            // (RFC 2308 section 2.2): this server is not the right one to ask.
            ResponseCode::NoError if none.soa.is_none() && none.ns.is_some() => {
                self.unavailable(shown, "only refers to other name servers", None)
            }
            ResponseCode::NoError => DiscoveryError::NoData {
                what: what(shown),
                valid_for,
            },
            code => self.unavailable(shown, &format!("answered {code}"), None),
        }
    }

    fn timed_out(&self, shown: &str) -> DiscoveryError {
        DiscoveryError::Timeout {
            what: what(shown),
            problem: format!("no answer from {} within {:?}", self.addr, self.timeout).into(),
        }
    }

    fn unavailable(
        &self,
        shown: &str,
        problem: &str,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> DiscoveryError {
        DiscoveryError::Unavailable {
            what: what(shown),
            problem: format!("{} {problem}", self.addr).into(),
            source,
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr.fmt(f)
    }
}

pub(super) fn no_such_name(shown: &str, valid_for: Option<Duration>) -> DiscoveryError {
    DiscoveryError::NotFound {
        what: what(shown),
        problem: "no such name (NXDOMAIN)".into(),
        valid_for,
    }
}

pub(super) fn what(shown: &str) -> Box<str> {
    format!("looking up {shown}").into()
}

fn options(timeout: Duration) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.attempts = 0; // repeating is ours
    options.cache_size = 0;
    options.timeout = timeout;
    options.use_hosts_file = ResolveHosts::Never; // so is the hosts file
    options
}

/// The records of `name` and of the names that it is an alias of. The client hands on whatever a server puts into an
/// answer.
fn own_records<'a>(name: &Name, answer: &'a [Record]) -> Vec<&'a Record> {
    let mut names = HashSet::from([name]);
    loop {
        let aliases = answer.iter().filter_map(|record| match &record.data {
            RData::CNAME(target) if names.contains(&record.name) => Some(&target.0),
            _ => None,
        });
        let aliases: Vec<&Name> = aliases.collect();
        let before = names.len();
        names.extend(aliases);
        // Honest chains are short; one that is not costs no more than this.
        if names.len() == before || names.len() > MAX_ALIASES {
            break;
        }
    }
    let own = |record: &&Record| names.contains(&record.name);
    answer.iter().filter(own).collect()
}

/// The address in a record, if a connection to it can be meant.
pub(super) fn address(data: &RData) -> Option<IpAddr> {
    data.ip_addr().filter(|addr| usable(*addr))
}

/// Whether a connection to `addr` can be meant. The unspecified addresses, which some servers give for blocked
/// names, connect to this very machine.
pub(super) fn usable(addr: IpAddr) -> bool {
    !addr.is_unspecified() && !addr.is_multicast()
}
