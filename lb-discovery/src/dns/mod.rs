//! Backends from DNS.
//!
//! [`Dns`] follows the addresses of one host name: every A and AAAA record is a backend. It asks again when the
//! records' time to live is over, so a change is seen within that time plus a second.

mod answer;
mod conf;
mod name;
mod questions;
mod resolver;
mod server;
mod system;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lb_core::{Backend, Snapshot};
use tracing::warn;

pub use self::resolver::{Resolver, ResolverBuilder};

use self::answer::Addresses;
use self::conf::Memory;
use self::name::Host;
use crate::discovery::{Discovery, SnapshotStream};
use crate::error::DiscoveryError;
use crate::poll::{Lookup, Poll, Resolved};

/// The addresses of a host name, as backends.
///
/// The A and AAAA records are joined and sorted, IPv4 first, so that equal records make equal snapshots whatever
/// order the server rotates them to. Each backend carries the name as configured in [`Backend::name`]. The set holds
/// for the shortest TTL among the records, those of a CNAME chain included; entries of a hosts file have none and
/// are looked up again every [`interval`](Self::interval). An IP address is taken as it is, without a question.
///
/// | answer | outcome |
/// |---|---|
/// | addresses of either family | the set |
/// | one family's question fails, the other's does not | the set, with the failing family's last addresses |
/// | one family is silent for 250 ms after the other's addresses | the same; what comes late is in the next set |
/// | `NXDOMAIN` | [`DiscoveryError::NotFound`] |
/// | no record of either type | [`DiscoveryError::NoData`] |
/// | `REFUSED` | [`DiscoveryError::Denied`] |
/// | `SERVFAIL`, unreachable | [`DiscoveryError::Unavailable`] |
/// | silence | [`DiscoveryError::Timeout`] |
///
/// ```no_run
/// use std::sync::Arc;
/// use lb_discovery::{Dns, Driver, DriverConfig, Resolver};
///
/// let resolver = Resolver::system()?;
/// let dns = Dns::new(resolver, "node1.example.com", 446)?;
/// let (driver, handle) = Driver::new(vec![Arc::new(dns)], DriverConfig::new());
/// # drop((driver, handle));
/// # Ok::<(), lb_discovery::DiscoveryError>(())
/// ```
#[derive(Debug)]
pub struct Dns {
    poll: Poll<Target>,
}

impl Dns {
    /// The most addresses of one name that are used. More are dropped, the highest first, and logged: an answer from
    /// outside must not decide how much memory we take.
    pub const MAX_ADDRESSES: usize = 1024;

    /// Follows the addresses of `name`, which is a host name or an IP address; backends get `port`. A name that ends
    /// in a dot is absolute. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `name` is neither.
    pub fn new(resolver: Resolver, name: &str, port: u16) -> Result<Self, DiscoveryError> {
        let valid = resolver.valid();
        let target = Target {
            host: Host::parse(name)?,
            name: name.into(),
            port,
            resolver,
            memory: Mutex::default(),
            too_many: AtomicBool::new(false),
        };
        let mut poll = Poll::new(target);
        if let Some(valid) = valid {
            poll = poll.max_ttl(valid);
        }
        Ok(Self { poll })
    }

    /// How long to wait after an answer without a TTL, that is one from the hosts file. Default: 10 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.poll = self.poll.interval(interval);
        self
    }

    /// The shortest time between two lookups. Default: 1 s; see [`Poll::min_ttl`].
    #[must_use]
    pub fn min_ttl(mut self, min_ttl: Duration) -> Self {
        self.poll = self.poll.min_ttl(min_ttl);
        self
    }

    /// The longest that an answer is believed. Default: 5 min, or the resolver's
    /// [`valid`](ResolverBuilder::valid) if that is set.
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

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        self.poll.watch().await
    }

    fn refresh(&self) {
        self.poll.refresh();
    }
}

/// What is looked up.
struct Target {
    host: Host,
    name: Arc<str>,
    port: u16,
    resolver: Resolver,
    memory: Mutex<Memory>,
    /// Whether the log already says that there are too many addresses.
    too_many: AtomicBool,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Lookup for Target {
    fn source(&self) -> Arc<str> {
        format!("dns:{}", self.name).into()
    }

    async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
        let found = match &self.host {
            Host::Addr(addr) => Addresses {
                addrs: [*addr].into(),
                valid_for: Some(Duration::MAX),
                catching_up: false,
            },
            Host::Name(name) => {
                let memory = &self.memory;
                self.resolver.addresses(name, &self.name, memory).await?
            }
        };
        let too_many = found.addrs.len() > Dns::MAX_ADDRESSES;
        if !self.too_many.swap(too_many, Ordering::Relaxed) && too_many {
            let addresses = found.addrs.len();
            warn!(name = %self.name, addresses, kept = Dns::MAX_ADDRESSES, "Too many addresses");
        }
        let backends = found
            .addrs
            .into_iter()
            .take(Dns::MAX_ADDRESSES)
            .map(|addr| {
                Backend::new(SocketAddr::new(addr, self.port)).with_name(Arc::clone(&self.name))
            });
        Ok(Resolved::new(
            Snapshot::from_backends(backends),
            found.valid_for,
        ))
    }
}
