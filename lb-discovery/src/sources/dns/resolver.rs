//! Whom to ask, and how.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;

use crate::error::DiscoveryError;
use crate::sources::dns::config::active::{Conf, Memory, Options};
use crate::sources::dns::config::system_files::Files;
use crate::sources::dns::lookup::answer::{Addresses, Family, PARTIAL_VALIDITY};

/// Asks name servers for addresses and services. Cheap to clone; clones share their connections.
///
/// With [`system`](Self::system) it does what programs on this machine do: `/etc/hosts` first, then the name servers
/// of `/etc/resolv.conf` with its search domains and the options `ndots`, `timeout` and `attempts`; both files are read
/// again after they changed. As for the system, lines and search domains that make no sense are passed over, with a
/// warning in the log. With
/// [`with_name_servers`](Self::with_name_servers) it asks exactly those, for names as they are written, as nginx's
/// `resolver` does.
///
/// Name servers are asked in their order. One that does not answer, or answers that it cannot tell (`SERVFAIL`,
/// `REFUSED`), is followed by the next; one that did not answer comes last for the next 30 s. A server on whose port
/// nothing listens costs no time, if its machine says so. The questions for IPv4
/// and IPv6 go out together, over UDP and, where an answer is truncated, TCP; once one of them has brought addresses
/// the other is waited for no longer than 250 ms. Nothing is cached.
///
/// The lookups need a tokio runtime with I/O and time enabled.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

impl Resolver {
    /// A resolver with the system's configuration.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `/etc/resolv.conf` or `/etc/hosts` exists but cannot be read.
    pub fn system() -> Result<Self, DiscoveryError> {
        Self::builder().build()
    }

    /// A resolver that asks these name servers and nothing else.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `addrs` is empty.
    pub fn with_name_servers(addrs: &[SocketAddr]) -> Result<Self, DiscoveryError> {
        Self::builder().name_servers(addrs).build()
    }

    /// A resolver with other options.
    pub fn builder() -> ResolverBuilder {
        ResolverBuilder::default()
    }

    /// What to ask now: what the files say now, or last said when they could be read.
    pub(crate) fn conf(&self) -> Arc<Conf> {
        let inner = &*self.inner;
        let mut guard = inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (files, conf) = &mut *guard;
        files.follow(&inner.options, conf);
        Arc::clone(conf)
    }

    /// All that decides what it finds, and not how fast.
    pub(crate) fn identity(&self) -> String {
        let Options {
            name_servers,
            resolv_conf,
            hosts,
            timeout: _,
            attempts: _,
            valid: _,
        } = &self.inner.options;
        let families = &self.inner.families;
        format!("{name_servers:?} {resolv_conf:?} {hosts:?} {families:?}")
    }

    /// How long answers are to be believed whatever their TTL says, if that is set.
    pub(crate) fn valid(&self) -> Option<Duration> {
        self.inner.options.valid
    }

    /// Looks up all addresses of `name`, which errors call `shown`.
    pub(crate) async fn addresses(
        &self,
        name: &Name,
        shown: &str,
        memory: &Mutex<Memory>,
    ) -> Result<Addresses, DiscoveryError> {
        let conf = self.conf();
        let mut found = conf
            .lookup(name, &self.inner.families, shown, memory)
            .await?;
        if let Some(ttl) = found.valid_for {
            let valid = self.inner.options.valid.unwrap_or(ttl);
            let most = if found.catching_up {
                PARTIAL_VALIDITY
            } else {
                Duration::MAX
            };
            found.valid_for = Some(valid.min(most));
        }
        Ok(found)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}

/// Options of a [`Resolver`].
#[derive(Clone, Debug)]
pub struct ResolverBuilder {
    options: Options,
    ipv4: bool,
    ipv6: bool,
}

impl Default for ResolverBuilder {
    fn default() -> Self {
        Self {
            options: Options::default(),
            ipv4: true,
            ipv6: true,
        }
    }
}

impl ResolverBuilder {
    /// The name servers to ask, in this order, instead of the system's. Default: the system's.
    #[must_use]
    pub fn name_servers(mut self, addrs: &[SocketAddr]) -> Self {
        self.options.name_servers = Some(addrs.to_vec());
        self
    }

    /// The file to read name servers and search domains from, unless they are given. Default: `/etc/resolv.conf`.
    #[must_use]
    pub fn resolv_conf(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.resolv_conf = Some(path.into());
        self
    }

    /// The file whose entries go before any name server. Default: `/etc/hosts`, or none if name servers are given.
    #[must_use]
    pub fn hosts(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.hosts = Some(path.into());
        self
    }

    /// How long one server is given for one answer, the aliases on the way to it included. Default: 2 s with given name
    /// servers, otherwise what `resolv.conf` says (5 s if it says nothing); zero means the default.
    ///
    /// A datagram that is lost is sent again up to twice within this time, so that 2 s outlast the loss of several;
    /// a server on the same site that takes longer than that is as good as down, and waiting for it holds up those
    /// after it.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// How many times a silent server is asked before a lookup fails. A lookup takes at most `timeout * attempts *
    /// servers` for each name that search domains make of the given one. Default: 2 with given name servers,
    /// otherwise what `resolv.conf` says (2 if it says nothing); zero counts as 1.
    #[must_use]
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.options.attempts = Some(attempts.max(1));
        self
    }

    /// Whether to look up IPv4 addresses. Default: yes.
    #[must_use]
    pub fn ipv4(mut self, ipv4: bool) -> Self {
        self.ipv4 = ipv4;
        self
    }

    /// Whether to look up IPv6 addresses. Default: yes.
    #[must_use]
    pub fn ipv6(mut self, ipv6: bool) -> Self {
        self.ipv6 = ipv6;
        self
    }

    /// How long answers that bring addresses hold, whatever their TTL; nginx's `resolver … valid=`. Where a family
    /// failed it may be less. Default: their TTL.
    #[must_use]
    pub fn valid(mut self, valid: Duration) -> Self {
        self.options.valid = Some(valid);
        self
    }

    /// The resolver. Reads the system's files, if they are used; sends nothing.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if a file exists but cannot be read, if there are no name servers, or if neither
    /// IPv4 nor IPv6 is to be looked up.
    pub fn build(self) -> Result<Resolver, DiscoveryError> {
        let invalid = |problem: &str| DiscoveryError::Config {
            what: "configuring the resolver".into(),
            problem: problem.into(),
            source: None,
        };
        let families: Vec<Family> = [(self.ipv4, Family::V4), (self.ipv6, Family::V6)]
            .into_iter()
            .filter_map(|(wanted, family)| wanted.then_some(family))
            .collect();
        if families.is_empty() {
            return Err(invalid("IPv4 and IPv6 are both off"));
        }
        let options = self.options;
        if options.name_servers.as_ref().is_some_and(Vec::is_empty) {
            return Err(invalid("there are no name servers"));
        }
        let (files, conf) = Files::read(&options)?;
        let inner = Inner {
            options,
            families,
            state: Mutex::new((files, Arc::new(conf))),
        };
        Ok(Resolver {
            inner: Arc::new(inner),
        })
    }
}

struct Inner {
    options: Options,
    families: Vec<Family>,
    state: Mutex<(Files, Arc<Conf>)>,
}
