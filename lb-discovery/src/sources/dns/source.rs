//! DNS as a source.

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
use crate::source::forward_source;
use crate::sources::dns::lookup::host::LookupState;
use crate::sources::dns::lookup::srv::SrvLookup;
use crate::sources::dns::name::Host;
use crate::sources::polled::lookup::{Lookup, Resolved};
use crate::sources::polled::source::Polled;

/// The addresses of a host name, or the servers of a service, as backends.
///
/// # A host name
///
/// [`try_new`](Self::try_new) follows A and AAAA records. They are joined and sorted, IPv4 first, so that equal records make
/// equal snapshots, whatever order the server rotates them to. [`Backend::name`](field@Backend::name) is the name as
/// configured. The set holds for the shortest TTL of the records, those of a CNAME chain included; entries of a hosts file have none and are looked
/// up again every [`interval`](Self::interval). An IP address is used as it is, without a question.
///
/// # A service
///
/// [`try_service`](Self::try_service) follows SRV records (RFC 2782), such as those of `_tcp-echo._tcp.example.com`, and the
/// addresses of the hosts that they name. Each address of a target is a backend with the target's name, the record's
/// port and the record's weight. The lowest priority is tier 0, the next one that occurs is tier 1, and so on. All
/// records of weight 0 together have a chance of one in (the other weights + 1), as the RFC says; a backend of weight 0
/// would take no connections. The set holds for the shortest TTL of all these records, so that each is followed within
/// its own. A target without an answer delays the set until its question times out.
///
/// # What an answer does
///
/// | answer | outcome | the [`Driver`](crate::Driver) then |
/// |---|---|---|
/// | addresses of either family | the set | publishes it |
/// | one family's question fails, the other's does not | the set, with the failing family's last addresses | publishes it, asks again within 10 s |
/// | one family has no answer for 250 ms after the other's addresses | the same; a late answer is in the next set | publishes it |
/// | one SRV target's question fails, another's does not | the set, with the failing target's last addresses | publishes it, asks again within 10 s |
/// | one SRV target has no address, or no longer one | the set without it | publishes it |
/// | a truncated answer | the question is asked again over TCP | |
/// | an alias (CNAME) | the answer for its target | |
/// | more than 1024 addresses, or 256 records of a service | the first of them ([`MAX_ADDRESSES`](Self::MAX_ADDRESSES), [`MAX_TARGETS`](Self::MAX_TARGETS)); the first time a warning is logged | publishes it |
/// | `NXDOMAIN` | [`DiscoveryError::NotFound`] | keeps the last set, or empties it with [`OnEmpty::Apply`](crate::OnEmpty); asks again when the SOA record's negative TTL is over, after 30 s at the latest |
/// | no record of the type (`NODATA`) | [`DiscoveryError::NoData`] | the same |
/// | only SRV records with the target `.` | [`DiscoveryError::NoService`] | the same |
/// | `REFUSED` by every server | [`DiscoveryError::Denied`] | keeps the last set and asks again with growing delays |
/// | `SERVFAIL`, unreachable, an invalid answer or one about other names only | [`DiscoveryError::Unavailable`] | the same |
/// | aliases in a loop, or more than 16 in a row | [`DiscoveryError::Unavailable`]: the records at the end of the chain are unknown | the same |
/// | no answer | [`DiscoveryError::Timeout`] | the same |
///
/// # What an answer cannot do
///
/// An answer decides only about the backends of the name that was asked for. No cache can be poisoned, because there is
/// none; records of other names are ignored in every section, including the addresses of targets that come with SRV
/// records; at most [`MAX_ADDRESSES`](Self::MAX_ADDRESSES) and
/// [`MAX_TARGETS`](Self::MAX_TARGETS) are used; addresses that cannot be those of a backend (unspecified, multicast)
/// are left out; and a TTL of zero makes no more than one lookup in [`min_ttl`](Self::min_ttl). An attacker
/// that can forge an answer for a name can still point it to any address, also inside of the network.
///
/// ```no_run
/// use std::sync::Arc;
/// use lb_discovery::{Dns, Driver, DriverConfig, Resolver, Source};
///
/// let resolver = Resolver::try_system()?;
/// let node = Dns::try_new(resolver.clone(), "node1.example.com", 446)?;
/// let echo = Dns::try_service(resolver, "_tcp-echo._tcp.example.com")?;
/// let sources: Vec<Arc<dyn Source>> = vec![Arc::new(node), Arc::new(echo)];
/// let (driver, handle) = Driver::new(sources, DriverConfig::new());
/// # drop((driver, handle));
/// # Ok::<(), lb_discovery::DiscoveryError>(())
/// ```
#[derive(Debug)]
pub struct Dns {
    poll: Polled<DnsLookup>,
}

impl Dns {
    /// The maximum number of addresses of one name or service. More are dropped, the highest first, and a warning (`Too many
    /// addresses`) is logged: an answer must not decide how much memory the program takes.
    pub const MAX_ADDRESSES: usize = 1024;

    /// The maximum number of SRV records of one service. More are dropped, those of the highest priority values first,
    /// and a warning (`Too many service records`) is logged: each target costs two questions.
    pub const MAX_TARGETS: usize = 256;

    /// Follows the addresses of `name`, which is a host name or an IP address; backends get `port`. A name that ends
    /// in a dot is absolute. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `name` is neither.
    pub fn try_new(resolver: Resolver, name: &str, port: u16) -> Result<Self, DiscoveryError> {
        let wanted = match Host::parse(name)? {
            Host::Addr(addr) => Subject::Addr(SocketAddr::new(addr, port)),
            Host::Name(host) => Subject::Host {
                name: host,
                port,
                state: Mutex::default(),
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
    pub fn try_service(resolver: Resolver, name: &str) -> Result<Self, DiscoveryError> {
        match Host::parse(name)? {
            Host::Name(service) => {
                let service = SrvLookup::new(service, name.into(), Self::MAX_TARGETS);
                Ok(Self::follow(resolver, name, Subject::Service(service)))
            }
            Host::Addr(_) => Err(DiscoveryError::Config {
                what: format!("service {name:?}").into(),
                problem: "an IP address has no service records".into(),
                source: None,
            }),
        }
    }

    fn follow(resolver: Resolver, name: &str, wanted: Subject) -> Self {
        let valid = resolver.valid();
        let mut poll = Polled::new(DnsLookup {
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

    /// Sets the wait after an answer without a TTL, from the hosts file. Default: 10 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.poll = self.poll.interval(interval);
        self
    }

    /// Limits the random addition to each wait. Default: 500 ms; see [`Polled::jitter`].
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.poll = self.poll.jitter(jitter);
        self
    }

    /// Sets the minimum time between two lookups. Default: 1 s; see [`Polled::min_ttl`].
    #[must_use]
    pub fn min_ttl(mut self, min_ttl: Duration) -> Self {
        self.poll = self.poll.min_ttl(min_ttl);
        self
    }

    /// Limits how long an answer holds. Default: 5 min, or the resolver's
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
    /// See the table above.
    pub async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
        self.poll.inner().lookup().await
    }
}

forward_source!([] Dns, self => self.poll);

/// The lookup of one name or service.
struct DnsLookup {
    wanted: Subject,
    name: Arc<str>,
    resolver: Resolver,
    /// Whether it is logged that there are too many addresses.
    too_many: AtomicBool,
}

enum Subject {
    Addr(SocketAddr),
    Host {
        name: Name,
        port: u16,
        state: Mutex<LookupState>,
    },
    Service(SrvLookup),
}

impl fmt::Debug for DnsLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsLookup")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Lookup for DnsLookup {
    fn label(&self) -> Arc<str> {
        format!("dns:{}", self.name).into()
    }

    fn identity(&self) -> Arc<str> {
        let wanted = match &self.wanted {
            Subject::Addr(addr) => format!("address {addr}"),
            Subject::Host { name, port, .. } => format!("host {name} {port}"),
            Subject::Service(_) => format!("service {}", self.name),
        };
        format!("dns {wanted} by {}", self.resolver.identity()).into()
    }

    async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
        let named = |addr| Backend::new(addr).name(Arc::clone(&self.name));
        let (backends, valid_for) = match &self.wanted {
            Subject::Addr(addr) => (vec![named(*addr)], Some(Duration::MAX)),
            Subject::Host { name, port, state } => {
                let found = self.resolver.addresses(name, &self.name, state).await?;
                let addrs = found.addrs.into_iter();
                let backends = addrs.map(|addr| named(SocketAddr::new(addr, *port)));
                (backends.collect(), found.valid_for)
            }
            Subject::Service(service) => {
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
