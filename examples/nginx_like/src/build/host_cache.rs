//! Hosts that sessions look up at run time, each answer used for as long as it holds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lb_discovery::{DiscoveryError, Dns, Resolver};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout};
use tracing::debug;

/// How many names are remembered. Clients choose names, so there may be any number.
const MAX_NAMES: usize = 4096;

/// How long an answer without a time to live is used.
const DEFAULT_VALIDITY: Duration = Duration::from_secs(30);

/// The addresses of hosts. Sessions that ask for one name at the same time share one lookup.
#[derive(Debug)]
pub(super) struct HostCache {
    resolver: Resolver,
    /// How long a session waits. `None`: as long as the resolver does.
    limit: Option<Duration>,
    names: Mutex<HashMap<String, Arc<Entry>>>,
}

/// A name, and its last answer.
#[derive(Debug)]
struct Entry {
    dns: Dns,
    /// Locked during a lookup.
    answer: AsyncMutex<Option<Answer>>,
}

#[derive(Clone, Debug)]
struct Answer {
    ips: Arc<[IpAddr]>,
    valid_until: Instant,
}

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LookupFailure {
    NotFound,
    Server,
    Timeout,
}

impl HostCache {
    pub(super) fn new(resolver: Resolver, limit: Option<Duration>) -> Self {
        Self {
            resolver,
            limit,
            names: Mutex::default(),
        }
    }

    /// The addresses of `name`, at least one.
    ///
    /// Cancel-safe: another session that waits for the name then looks it up itself.
    pub(super) async fn look_up(&self, name: &str) -> Result<Arc<[IpAddr]>, LookupFailure> {
        let entry = self.entry(name)?;
        let looked_up = entry.look_up();
        match self.limit {
            Some(limit) => timeout(limit, looked_up)
                .await
                .unwrap_or(Err(LookupFailure::Timeout)),
            None => looked_up.await,
        }
    }

    fn entry(&self, name: &str) -> Result<Arc<Entry>, LookupFailure> {
        // No code that can panic runs under the lock.
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = names.get(name) {
            return Ok(Arc::clone(entry));
        }
        // The port is not used.
        let dns = Dns::try_new(self.resolver.clone(), name, 1);
        let dns = dns.map_err(|_| LookupFailure::NotFound)?;
        if names.len() >= MAX_NAMES {
            let now = Instant::now();
            names.retain(|_, entry| entry.is_in_use(now));
            // All hold, so any may go: the next session looks it up again.
            if names.len() >= MAX_NAMES {
                names.clear();
            }
        }
        let answer = AsyncMutex::default();
        let entry = Arc::new(Entry { dns, answer });
        names.insert(name.to_owned(), Arc::clone(&entry));
        Ok(entry)
    }
}

impl Entry {
    async fn look_up(&self) -> Result<Arc<[IpAddr]>, LookupFailure> {
        let mut answer = self.answer.lock().await;
        if let Some(known) = answer.as_ref().filter(|known| known.holds(Instant::now())) {
            return Ok(Arc::clone(&known.ips));
        }
        let found = self.dns.lookup().await.map_err(|error| {
            debug!(%error, "Host not resolved");
            LookupFailure::from(&error)
        })?;
        let ips: Arc<[IpAddr]> = found
            .snapshot
            .iter()
            .map(|backend| backend.addr.ip())
            .collect();
        if ips.is_empty() {
            return Err(LookupFailure::NotFound);
        }
        let valid_for = found.valid_for.unwrap_or(DEFAULT_VALIDITY);
        let until = Instant::now().checked_add(valid_for);
        *answer = Some(Answer {
            ips: Arc::clone(&ips),
            valid_until: until.unwrap_or_else(|| Instant::now() + DEFAULT_VALIDITY),
        });
        Ok(ips)
    }

    /// Whether it is looked up now, or has an answer that holds.
    fn is_in_use(&self, now: Instant) -> bool {
        let Ok(answer) = self.answer.try_lock() else {
            return true;
        };
        answer.as_ref().is_some_and(|answer| answer.holds(now))
    }
}

impl Answer {
    fn holds(&self, now: Instant) -> bool {
        now < self.valid_until
    }
}

impl From<&DiscoveryError> for LookupFailure {
    fn from(error: &DiscoveryError) -> Self {
        match error {
            error if error.is_authoritative_empty() => Self::NotFound,
            DiscoveryError::Timeout { .. } => Self::Timeout,
            _ => Self::Server,
        }
    }
}
