//! Host names that the system's resolver looks up, as a source.

use std::net::IpAddr;
use std::time::Duration;

use crate::error::DiscoveryError;
use crate::host_rules::problem;
use crate::source::forward_source;
use crate::sources::polled::lookup::{Lookup, Resolved};
use crate::sources::polled::source::Polled;
use crate::sources::system_dns::lookup::{MAX_ADDRESSES, SystemLookup};

/// The addresses of a host name, looked up by the system's resolver (getaddrinfo).
///
/// For programs that should have few dependencies: this source has none, where `Dns` (feature `dns`) brings some sixty
/// crates. The system decides how a name is looked up: hosts file, DNS with search domains, mDNS, LDAP, a local cache.
/// The addresses are sorted, IPv4 first, and [`Backend::name`](field@lb_core::Backend::name) is the name as configured.
/// An IP address is used as it is, without a lookup.
///
/// # What it lacks
///
/// - **Times to live.** The system does not pass them on. The name is looked up again every [`interval`](Self::interval),
///   10 s by default, and when the driver hints that the set may be outdated. A cache of the system may add its own time.
/// - **Authoritative answers.** A name that does not exist and a server that does not answer are the same failure,
///   [`DiscoveryError::Unavailable`]: the [`Driver`](crate::Driver) keeps the last set, and
///   [`OnEmpty`](crate::OnEmpty) has no effect.
/// - **Halves of an answer.** If the system reports one family only, the other one's addresses leave the set.
/// - **Services** (SRV), **name servers of your own**, **limits on questions at the same time**: `Dns` has these.
///
/// # Cost
///
/// A lookup takes a thread of its own while it lasts, and each source has at most one: a lookup that exceeds its
/// [`timeout`](Self::timeout) has failed with [`DiscoveryError::Timeout`], and the next one waits for its thread. Such a
/// thread keeps neither the runtime nor the process from ending. A statically linked glibc needs its shared libraries of
/// the same version for lookups other than DNS and files.
///
/// ```no_run
/// use std::sync::Arc;
/// use lb_discovery::{Driver, DriverConfig, SystemDns};
///
/// let nodes = SystemDns::try_new("nodes.example.com", 446)?;
/// let (driver, handle) = Driver::new(vec![Arc::new(nodes)], DriverConfig::new());
/// # drop((driver, handle));
/// # Ok::<(), lb_discovery::DiscoveryError>(())
/// ```
#[doc(alias = "getaddrinfo")]
#[derive(Debug)]
pub struct SystemDns {
    poll: Polled<SystemLookup>,
}

impl SystemDns {
    /// The maximum number of addresses of one name. More are dropped, the highest first, and a warning (`Too many
    /// addresses`) is logged.
    pub const MAX_ADDRESSES: usize = MAX_ADDRESSES;

    /// Follows the addresses of `name`, which is a host name or an IP address; backends get `port`. A name that ends
    /// in a dot is absolute. Asks nothing yet.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `name` is neither.
    pub fn try_new(name: &str, port: u16) -> Result<Self, DiscoveryError> {
        if name.parse::<IpAddr>().is_err()
            && let Some(problem) = problem(name)
        {
            return Err(DiscoveryError::Config {
                what: format!("host {name:?}").into(),
                problem: problem.into(),
                source: None,
            });
        }
        Ok(Self {
            poll: Polled::new(SystemLookup::new(name, port)),
        })
    }

    /// Sets the time between two lookups. Default: 10 s; less than 1 s counts as 1 s.
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

    /// Limits the time of one lookup. Default: 30 s, in which glibc asks two servers twice.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        let lookup = self.poll.inner().clone().limit(timeout);
        Self {
            poll: self.poll.with_lookup(lookup),
        }
    }

    /// Looks the name up once, without following it.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Unavailable`] or [`DiscoveryError::Timeout`].
    pub async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
        self.poll.inner().lookup().await
    }
}

forward_source!([] SystemDns, self => self.poll);
