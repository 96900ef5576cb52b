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
use crate::host_rules::usable;
use crate::sources::dns::server::aliases::{AliasStep, Aliases};
use crate::sources::dns::server::answer::Answer;
use crate::sources::dns::server::error::{ServerError, no_such_name, what};
use crate::sources::dns::server::sockets::Sockets;

/// How long a server that did not answer comes last.
const AVOID_FOR: Duration = Duration::from_secs(30);

/// One name server, over UDP, and TCP where an answer is truncated.
///
/// The hickory client has this one server, because a pool of several would report the `SERVFAIL` of one as the answer of
/// all. It caches nothing, because [`Polled`](crate::Polled) decides how long an answer holds. It follows no aliases,
/// because after giving up on a chain it would report that there are no records.
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

    /// Asks once for the records of one type of the absolute `name` or of its alias targets. `read` extracts the wanted part
    /// of each record. `shown`: the name in errors.
    pub(crate) async fn ask<T: Eq + Hash>(
        &self,
        name: &Name,
        kind: RecordType,
        shown: &str,
        read: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DiscoveryError> {
        let result = timeout(self.timeout, self.follow(name, kind, read)).await;
        let result = result.unwrap_or(Err(ServerError::Net(NetError::Timeout, u32::MAX)));
        self.avoid(matches!(
            result,
            Err(ServerError::Net(
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

    /// The wanted parts of the records at the end of the aliases, and the minimum TTL on the way.
    async fn follow<T: Eq + Hash>(
        &self,
        name: &Name,
        kind: RecordType,
        read: fn(&RData) -> Option<T>,
    ) -> Result<(HashSet<T>, u32), ServerError> {
        let mut aliases = Aliases::of(name);
        loop {
            let query = Query::query(aliases.name().clone(), kind);
            let answer = self.client.lookup(query, self.options).first_answer().await;
            let answer = answer.map_err(|error| ServerError::Net(error, aliases.ttl()))?;
            match aliases.follow(&answer.answers, kind) {
                Ok(AliasStep::Found(records)) => {
                    let wanted = records.iter().filter_map(|record| read(&record.data));
                    return Ok((wanted.collect(), aliases.ttl()));
                }
                Ok(AliasStep::Alias) => {}
                Ok(AliasStep::OtherTypes) if answer.response_code == ResponseCode::NoError => {
                    return Ok((HashSet::new(), aliases.ttl()));
                }
                Ok(AliasStep::OtherTypes | AliasStep::Nothing) => {
                    return Err(ServerError::Nothing(answer.response_code));
                }
                Err(endless) => return Err(ServerError::Aliases(endless)),
            }
        }
    }

    /// Whether it did not answer recently.
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

/// The answer for a reserved name, for which the system's resolver asks no server (RFC 6761, RFC 7686).
pub(crate) fn reserved<T>(
    name: &Name,
    kind: RecordType,
    shown: &str,
    read: fn(&RData) -> Option<T>,
) -> Option<Result<Answer<T>, DiscoveryError>> {
    /// An address of this machine always holds; the callers limit the validity.
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

/// The address in a record, if it is [`usable`].
pub(crate) fn address(data: &RData) -> Option<IpAddr> {
    data.ip_addr().filter(|addr| usable(*addr))
}
