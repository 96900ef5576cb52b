//! Backends from DNS.
//!
//! [`Dns`] follows the addresses of one host name, or the SRV records of one service and the addresses of their
//! targets. It asks again when the records' time to live is over, so a change is seen within that time plus a second.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::proto::rr::Name;
use lb_core::{Backend, Snapshot};
use tracing::warn;

use crate::sources::dns::resolver::Resolver;

use crate::error::DiscoveryError;
use crate::source::{Discovery, SnapshotStream};
use crate::sources::dns::config::active::Memory;
use crate::sources::dns::lookup::srv::Service;
use crate::sources::dns::name::Host;
use crate::sources::polled::{Lookup, Poll, Resolved};

/// The addresses of a host name, or the servers of a service, as backends.
///
/// # A host name
///
/// [`new`](Self::new) follows A and AAAA records. They are joined and sorted, IPv4 first, so that equal records make
/// equal snapshots whatever order the server rotates them to. Each backend carries the name as configured in
/// [`Backend::name`]. The set holds for the shortest TTL among the records, those of a CNAME chain included; entries
/// of a hosts file have none and are looked up again every [`interval`](Self::interval). An IP address is taken as it
/// is, without a question.
///
/// # A service
///
/// [`service`](Self::service) follows SRV records (RFC 2782), such as those of `_tcp-echo._tcp.example.com`, and the
/// addresses of the hosts that they name. Each address of a target is a backend with the target's name, the record's
/// port and the record's weight. The lowest priority is tier 0, the next one that occurs is tier 1, and so on. Records
/// of weight 0 have, all together, the chance of one part in (the other weights + 1), as the RFC says; our own weight
/// 0 would take nothing. The set holds for the shortest TTL among all these records, so that each is followed within
/// its own. A target about which no server answers anything holds up the set until its question times out.
///
/// # What an answer does
///
/// | answer | outcome | the [`Driver`](crate::Driver) then |
/// |---|---|---|
/// | addresses of either family | the set | publishes it |
/// | one family's question fails, the other's does not | the set, with the failing family's last addresses | publishes it, asks again within 10 s |
/// | one family is silent for 250 ms after the other's addresses | the same; what comes late is in the next set | publishes it |
/// | one SRV target's question fails, another's does not | the set, with the failing target's last addresses | publishes it, asks again within 10 s |
/// | one SRV target has no address (any more) | the set without it | publishes it |
/// | a truncated answer | the question is asked again over TCP | |
/// | an alias (CNAME) | what it leads to | |
/// | more than 1024 addresses, or 256 records of a service | the first of them ([`MAX_ADDRESSES`](Self::MAX_ADDRESSES), [`MAX_TARGETS`](Self::MAX_TARGETS)); the first time a warning is logged | publishes it |
/// | `NXDOMAIN` | [`DiscoveryError::NotFound`] | keeps the last set, or empties it with [`OnEmpty::Apply`](crate::OnEmpty); asks again when the SOA record's negative TTL is over, after 30 s at the latest |
/// | no record of the type (`NODATA`) | [`DiscoveryError::NoData`] | the same |
/// | only SRV records with the target `.` | [`DiscoveryError::NoService`] | the same |
/// | `REFUSED` by every server | [`DiscoveryError::Denied`] | keeps the last set and asks again with growing delays |
/// | `SERVFAIL`, unreachable, an answer that makes no sense or is about other names only | [`DiscoveryError::Unavailable`] | the same |
/// | aliases in a circle, or more than 16 in a row | [`DiscoveryError::Unavailable`]: what was given up on is not known to be nothing | the same |
/// | silence | [`DiscoveryError::Timeout`] | the same |
///
/// # What an answer cannot do
///
/// An answer decides about the backends of the name that was asked for, and about nothing else. Nothing is cached, so
/// there is nothing to poison; records of other names are ignored wherever they stand, also the addresses of targets
/// that come with SRV records; at most [`MAX_ADDRESSES`](Self::MAX_ADDRESSES) and
/// [`MAX_TARGETS`](Self::MAX_TARGETS) are used; addresses that no connection can be meant for (unspecified, multicast)
/// are left out; and a TTL of zero makes no more than one lookup in [`min_ttl`](Self::min_ttl). Who can forge an
/// answer for a name can still point it to any address, inside the network too.
///
/// ```no_run
/// use std::sync::Arc;
/// use lb_discovery::{Dns, Driver, DriverConfig, Resolver};
///
/// let resolver = Resolver::system()?;
/// let node = Dns::new(resolver.clone(), "node1.example.com", 446)?;
/// let echo = Dns::service(resolver, "_tcp-echo._tcp.example.com")?;
/// let (driver, handle) = Driver::new(vec![Arc::new(node), Arc::new(echo)], DriverConfig::new());
/// # drop((driver, handle));
/// # Ok::<(), lb_discovery::DiscoveryError>(())
/// ```
#[derive(Debug)]
pub struct Dns {
    poll: Poll<Target>,
}

impl Dns {
    /// The most addresses of one name or service that are used. More are dropped, the highest first, and a warning
    /// (`Too many addresses`) is logged: an answer from outside must not decide how much memory we take.
    pub const MAX_ADDRESSES: usize = 1024;

    /// The most SRV records of one service that are used. More are dropped, those of the highest priority values first,
    /// and a warning (`Too many service records`) is logged: each target costs two questions.
    pub const MAX_TARGETS: usize = 256;

    /// Follows the addresses of `name`, which is a host name or an IP address; backends get `port`. A name that ends
    /// in a dot is absolute. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `name` is neither.
    pub fn new(resolver: Resolver, name: &str, port: u16) -> Result<Self, DiscoveryError> {
        let wanted = match Host::parse(name)? {
            Host::Addr(addr) => Wanted::Addr(SocketAddr::new(addr, port)),
            Host::Name(host) => Wanted::Host {
                name: host,
                port,
                memory: Mutex::default(),
            },
        };
        Ok(Self::follow(resolver, name, wanted))
    }

    /// Follows the SRV records of the service `name`, which usually starts with `_SERVICE._tcp.`, and their targets.
    /// A name that ends in a dot is absolute. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `name` is no name.
    pub fn service(resolver: Resolver, name: &str) -> Result<Self, DiscoveryError> {
        match Host::parse(name)? {
            Host::Name(service) => {
                let service = Service::new(service, name.into(), Self::MAX_TARGETS);
                Ok(Self::follow(resolver, name, Wanted::Service(service)))
            }
            Host::Addr(_) => Err(DiscoveryError::Config {
                what: format!("service {name:?}").into(),
                problem: "an IP address has no service records".into(),
                source: None,
            }),
        }
    }

    fn follow(resolver: Resolver, name: &str, wanted: Wanted) -> Self {
        let valid = resolver.valid();
        let mut poll = Poll::new(Target {
            wanted,
            name: name.into(),
            resolver,
            too_many: AtomicBool::new(false),
        });
        if let Some(valid) = valid {
            poll = poll.max_ttl(valid);
        }
        Self { poll }
    }

    /// How long to wait after an answer without a TTL, that is one from the hosts file. Default: 10 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.poll = self.poll.interval(interval);
        self
    }

    /// The most that is added to each wait at random. Default: 500 ms; see [`Poll::jitter`].
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.poll = self.poll.jitter(jitter);
        self
    }

    /// The shortest time between two lookups. Default: 1 s; see [`Poll::min_ttl`].
    #[must_use]
    pub fn min_ttl(mut self, min_ttl: Duration) -> Self {
        self.poll = self.poll.min_ttl(min_ttl);
        self
    }

    /// The longest that an answer is believed. Default: 5 min, or the resolver's
    /// [`valid`](crate::ResolverBuilder::valid) if that is set.
    #[must_use]
    pub fn max_ttl(mut self, max_ttl: Duration) -> Self {
        self.poll = self.poll.max_ttl(max_ttl);
        self
    }

    /// Looks the name up once, without following it.
    ///
    /// # Errors
    ///
    /// As the table above says.
    pub async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
        self.poll.inner().lookup().await
    }
}

#[async_trait]
impl Discovery for Dns {
    fn source(&self) -> Arc<str> {
        self.poll.source()
    }

    fn identity(&self) -> Arc<str> {
        self.poll.identity()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        self.poll.watch().await
    }

    fn refresh(&self) {
        self.poll.refresh();
    }
}

/// What is looked up, and where.
struct Target {
    wanted: Wanted,
    name: Arc<str>,
    resolver: Resolver,
    /// Whether the log already says that there are too many addresses.
    too_many: AtomicBool,
}

enum Wanted {
    Addr(SocketAddr),
    Host {
        name: Name,
        port: u16,
        memory: Mutex<Memory>,
    },
    Service(Service),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Lookup for Target {
    fn source(&self) -> Arc<str> {
        format!("dns:{}", self.name).into()
    }

    fn identity(&self) -> Arc<str> {
        let wanted = match &self.wanted {
            Wanted::Addr(addr) => format!("address {addr}"),
            Wanted::Host { name, port, .. } => format!("host {name} {port}"),
            Wanted::Service(_) => format!("service {}", self.name),
        };
        format!("dns {wanted} by {}", self.resolver.identity()).into()
    }

    async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
        let named = |addr| Backend::new(addr).with_name(Arc::clone(&self.name));
        let (backends, valid_for) = match &self.wanted {
            Wanted::Addr(addr) => (vec![named(*addr)], Some(Duration::MAX)),
            Wanted::Host { name, port, memory } => {
                let found = self.resolver.addresses(name, &self.name, memory).await?;
                let addrs = found.addrs.into_iter();
                let backends = addrs.map(|addr| named(SocketAddr::new(addr, *port)));
                (backends.collect(), found.valid_for)
            }
            Wanted::Service(service) => {
                let (backends, valid_for) = service.lookup(&self.resolver).await?;
                (backends, Some(valid_for))
            }
        };
        let too_many = backends.len() > Dns::MAX_ADDRESSES;
        if !self.too_many.swap(too_many, Ordering::Relaxed) && too_many {
            let addresses = backends.len();
            warn!(name = %self.name, addresses, kept = Dns::MAX_ADDRESSES, "Too many addresses");
        }
        let kept = backends.into_iter().take(Dns::MAX_ADDRESSES);
        Ok(Resolved::new(Snapshot::from_backends(kept), valid_for))
    }
}
