//! The resolver: the name servers and options of lookups.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;

use crate::error::DiscoveryError;
use crate::ip_family::IpFamily;
use crate::sources::dns::config::lookup_config::{LookupConfig, ResolverOptions};
use crate::sources::dns::config::system_files::SystemFiles;
use crate::sources::dns::lookup::addresses::{Addresses, PARTIAL_VALIDITY};
use crate::sources::dns::lookup::host::LookupState;

/// Asks name servers for addresses and services. Cheap to clone; clones share their connections.
///
/// With [`try_system`](Self::try_system) it works like the system's resolver: `/etc/hosts` first, then the name servers of
/// `/etc/resolv.conf` with its search domains and the options `ndots`, `timeout` and `attempts`. Both files are read again
/// after a change. Invalid lines and search domains are skipped, as in the system's resolver, with a warning in the log.
/// With [`try_with_name_servers`](Self::try_with_name_servers) it asks exactly those, for names as they are written, as
/// nginx's `resolver` does. `localhost`, `invalid` and `onion`, and the names below them, have their meaning without a question
/// (RFC 6761, RFC 7686) only with the system's configuration; given name servers are asked for them, too.
///
/// Asks name servers in their order. After no answer, `SERVFAIL` or `REFUSED` it asks the next one; a server that did not
/// answer comes last for the next 30 s. A closed port costs no time, if its machine reports it. Sends the questions for
/// IPv4 and IPv6 concurrently, over UDP and, after a truncated answer, TCP; once one of them has addresses, it waits for
/// the other for at most 250 ms. Caches nothing.
///
/// The lookups need a tokio runtime with I/O and time enabled.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

impl Resolver {
    /// Makes a resolver with the system's configuration.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `/etc/resolv.conf` or `/etc/hosts` exists but cannot be read.
    pub fn try_system() -> Result<Self, DiscoveryError> {
        Self::builder().build()
    }

    /// Makes a resolver that asks only these name servers.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `addrs` is empty.
    pub fn try_with_name_servers(addrs: &[SocketAddr]) -> Result<Self, DiscoveryError> {
        Self::builder().name_servers(addrs).build()
    }

    /// Returns a builder, for other options.
    pub fn builder() -> ResolverBuilder {
        ResolverBuilder::default()
    }

    /// The current configuration: that of the files, as last read successfully.
    pub(crate) fn conf(&self) -> Arc<LookupConfig> {
        let inner = &*self.inner;
        let mut guard = inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (files, conf) = &mut *guard;
        files.follow(&inner.options, conf);
        Arc::clone(conf)
    }

    /// All settings that decide the addresses, as opposed to the time that a lookup takes.
    pub(crate) fn identity(&self) -> String {
        let ResolverOptions {
            name_servers,
            resolv_conf,
            hosts,
            timeout: _,
            attempts: _,
            valid: _,
            concurrent_questions: _,
        } = &self.inner.options;
        let families = &self.inner.families;
        format!("{name_servers:?} {resolv_conf:?} {hosts:?} {families:?}")
    }

    /// How long answers hold, whatever their TTL, if that is set.
    pub(crate) fn valid(&self) -> Option<Duration> {
        self.inner.options.valid
    }

    /// Looks up all addresses of `name`. `shown`: its name in errors.
    pub(crate) async fn addresses(
        &self,
        name: &Name,
        shown: &str,
        state: &Mutex<LookupState>,
    ) -> Result<Addresses, DiscoveryError> {
        let conf = self.conf();
        let mut found = conf
            .lookup(name, &self.inner.families, shown, state)
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

/// The options of a [`Resolver`].
#[derive(Clone, Debug)]
pub struct ResolverBuilder {
    options: ResolverOptions,
    ipv4: bool,
    ipv6: bool,
}

impl Default for ResolverBuilder {
    fn default() -> Self {
        Self {
            options: ResolverOptions::default(),
            ipv4: true,
            ipv6: true,
        }
    }
}

impl ResolverBuilder {
    /// Sets the name servers, in the order to ask them. Default: the system's.
    #[must_use]
    pub fn name_servers(mut self, addrs: &[SocketAddr]) -> Self {
        self.options.name_servers = Some(addrs.to_vec());
        self
    }

    /// Sets the file with name servers and search domains, which is read unless name servers are given. Default:
    /// `/etc/resolv.conf`.
    #[must_use]
    pub fn resolv_conf(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.resolv_conf = Some(path.into());
        self
    }

    /// Sets the hosts file, which takes precedence over name servers. Default: `/etc/hosts`, or none if name servers are
    /// given.
    #[must_use]
    pub fn hosts(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.hosts = Some(path.into());
        self
    }

    /// Limits the time of one server for one answer, its aliases included. Default: 2 s with given name servers, otherwise
    /// that of `resolv.conf` (5 s without one there); zero means the default.
    ///
    /// A lost datagram is sent again up to twice within this time, so 2 s outlast the loss of several. A server on the same
    /// site that takes longer is effectively down, and delays the servers after it.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets how many times a server without an answer is asked before a lookup fails. A lookup takes at most `timeout *
    /// attempts * servers` for each candidate name of the search domains. Default: 2 with given name servers, otherwise that
    /// of `resolv.conf` (2 without one there); zero counts as 1.
    #[must_use]
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.options.attempts = Some(attempts.max(1));
        self
    }

    /// Enables the lookup of IPv4 addresses. Default: true.
    #[must_use]
    pub fn ipv4(mut self, ipv4: bool) -> Self {
        self.ipv4 = ipv4;
        self
    }

    /// Enables the lookup of IPv6 addresses. Default: true.
    #[must_use]
    pub fn ipv6(mut self, ipv6: bool) -> Self {
        self.ipv6 = ipv6;
        self
    }

    /// Sets how long answers with addresses hold, whatever their TTL; nginx's `resolver … valid=`. After the failure of one
    /// family it may be less. Default: their TTL.
    #[must_use]
    pub fn valid(mut self, valid: Duration) -> Self {
        self.options.valid = Some(valid);
        self
    }

    /// Limits the number of questions of one record type that wait for an answer at the same time; more wait for their turn,
    /// in their order. Default: 32. At least 1.
    ///
    /// Each uses a socket and, where a datagram is sent again, up to two more. Where clients choose the names, those with a
    /// silent server each take a turn for the time-out, so the limit must be well above the number of such names.
    #[must_use]
    pub fn concurrent_questions(mut self, most: usize) -> Self {
        self.options.concurrent_questions = Some(most);
        self
    }

    /// Builds the resolver. Reads the system's files, if they are used; sends nothing.
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
        let families: Vec<IpFamily> = [(self.ipv4, IpFamily::V4), (self.ipv6, IpFamily::V6)]
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
        let (files, conf) = SystemFiles::read(&options)?;
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
    options: ResolverOptions,
    families: Vec<IpFamily>,
    state: Mutex<(SystemFiles, Arc<LookupConfig>)>,
}
