//! One name server.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::xfer::FirstAnswer;
use hickory_resolver::net::{DnsHandle, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, Query, ResponseCode};
use hickory_resolver::proto::rr::domain::usage;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use tokio::time::{Instant, timeout};

use crate::error::DiscoveryError;
use crate::sources::dns::lookup::answer::Answer;
use crate::sources::dns::server::aliases::{Aliases, Step};
use crate::sources::dns::server::error::{Failure, no_such_name, what};
use crate::sources::dns::server::sockets::Sockets;

/// How long a server that did not answer is asked after the others only.
const AVOID_FOR: Duration = Duration::from_secs(30);

/// One name server, over UDP, and TCP where an answer is truncated.
///
/// Its client is made for this server alone, because a pool of several would report the `SERVFAIL` of one as the
/// answer of all. It caches nothing: how long an answer holds is [`Poll`](crate::Poll)'s to know. It follows no aliases
/// either: where it gave up on a chain it would report that there are no records.
pub(crate) struct Server {
    addr: SocketAddr,
    client: NameServerPool<Sockets>,
    options: DnsRequestOptions,
    timeout: Duration,
    avoid_until: Mutex<Option<Instant>>,
}

impl Server {
    pub(crate) fn new(addr: SocketAddr, timeout: Duration) -> Result<Self, DiscoveryError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        let connections = connections.map(|mut connection| {
            connection.port = addr.port();
            connection
        });
        let server = NameServerConfig::new(addr.ip(), true, connections.into());
        let mut opts = ResolverOpts::default();
        opts.timeout = timeout;
        let mut options = DnsRequestOptions::default();
        options.recursion_desired = opts.recursion_desired;
        options.use_edns = opts.edns0;
        options.edns_payload_len = opts.edns_payload_len;
        let tls = TlsConfig::new().map_err(|error| DiscoveryError::Config {
            what: format!("name server {addr}").into(),
            problem: "cannot be used".into(),
            source: Some(error.into()),
        })?;
        let context = Arc::new(PoolContext::new(opts, tls));
        Ok(Self {
            addr,
            client: NameServerPool::from_config([server], context, Sockets::to(addr)),
            options,
            timeout,
            avoid_until: Mutex::new(None),
        })
    }

    /// Asks for the records of one type that the absolute `name` has, or what it is an alias of, once; `read` takes what is
    /// wanted out of each. `shown` is what the errors call the name.
    pub(crate) async fn ask<T: Eq + Hash>(
        &self,
        name: &Name,
        kind: RecordType,
        shown: &str,
        read: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DiscoveryError> {
        if let Some(answer) = reserved(name, kind, shown, read) {
            return answer;
        }
        let result = timeout(self.timeout, self.follow(name, kind, read)).await;
        let result = result.unwrap_or(Err(Failure::Net(NetError::Timeout, u32::MAX)));
        self.avoid(matches!(
            result,
            Err(Failure::Net(
                NetError::Timeout | NetError::Io(_) | NetError::NoConnections,
                _
            ))
        ));
        let (wanted, ttl) =
            result.map_err(|failure| failure.explain(self.addr, self.timeout, shown))?;
        if wanted.is_empty() {
            return Err(DiscoveryError::NoData {
                what: what(shown),
                valid_for: None,
            });
        }
        Ok(Answer {
            records: wanted.into_iter().collect(),
            valid_for: Duration::from_secs(ttl.into()),
        })
    }

    /// What is wanted of the records at the end of the aliases, and the least TTL on the way.
    async fn follow<T: Eq + Hash>(
        &self,
        name: &Name,
        kind: RecordType,
        read: fn(&RData) -> Option<T>,
    ) -> Result<(HashSet<T>, u32), Failure> {
        let mut aliases = Aliases::of(name);
        loop {
            let query = Query::query(aliases.name().clone(), kind);
            let answer = self.client.lookup(query, self.options).first_answer().await;
            let answer = answer.map_err(|error| Failure::Net(error, aliases.ttl()))?;
            match aliases.follow(&answer.answers, kind) {
                Ok(Step::Found(records)) => {
                    let wanted = records.iter().filter_map(|record| read(&record.data));
                    return Ok((wanted.collect(), aliases.ttl()));
                }
                Ok(Step::Alias) => {}
                Ok(Step::OtherTypes) if answer.response_code == ResponseCode::NoError => {
                    return Ok((HashSet::new(), aliases.ttl()));
                }
                Ok(Step::OtherTypes | Step::Nothing) => {
                    return Err(Failure::Nothing(answer.response_code));
                }
                Err(endless) => return Err(Failure::Endless(endless)),
            }
        }
    }

    /// Whether it did not answer lately.
    pub(crate) fn is_avoided(&self) -> bool {
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
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr.fmt(f)
    }
}

/// The answer about a name that no server is to be asked about (RFC 6761, RFC 7686).
fn reserved<T>(
    name: &Name,
    kind: RecordType,
    shown: &str,
    read: fn(&RData) -> Option<T>,
) -> Option<Result<Answer<T>, DiscoveryError>> {
    /// An address of this machine holds for good; the callers have limits of their own.
    const GOOD: Duration = Duration::from_secs(86_400);
    if usage::INVALID.zone_of(name) || usage::ONION.zone_of(name) {
        return Some(Err(no_such_name(shown, None)));
    }
    if !usage::LOCALHOST.zone_of(name) {
        return None;
    }
    let addr: Option<IpAddr> = match kind {
        RecordType::A => Some(Ipv4Addr::LOCALHOST.into()),
        RecordType::AAAA => Some(Ipv6Addr::LOCALHOST.into()),
        _ => None,
    };
    let record = addr.and_then(|addr| read(&RData::from(addr)));
    Some(match record {
        Some(record) => Ok(Answer {
            records: vec![record],
            valid_for: GOOD,
        }),
        None => Err(DiscoveryError::NoData {
            what: what(shown),
            valid_for: None,
        }),
    })
}

/// The address in a record, if a connection to it can be meant.
pub(crate) fn address(data: &RData) -> Option<IpAddr> {
    data.ip_addr().filter(|addr| usable(*addr))
}

/// Whether a connection to `addr` can be meant. The unspecified addresses, which some servers give for blocked
/// names, connect to this very machine.
pub(crate) fn usable(addr: IpAddr) -> bool {
    !addr.is_unspecified() && !addr.is_multicast()
}
