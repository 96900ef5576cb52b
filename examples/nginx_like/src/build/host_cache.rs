//! Hosts that sessions look up at run time, each answer used for as long as it holds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
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

/// The addresses of hosts. Sessions that ask for one name at the same time share one lookup, whether it succeeds or fails.
#[derive(Debug)]
pub(super) struct HostCache {
    resolver: Resolver,
    /// How long a session waits. `None`: as long as the resolver does.
    limit: Option<Duration>,
    names: Mutex<HashMap<String, Arc<CachedHost>>>,
}

/// A name, and the outcome of its last lookup.
#[derive(Debug)]
struct CachedHost {
    dns: Dns,
    /// Locked during a lookup. `None` before the first outcome.
    last: AsyncMutex<Option<Outcome>>,
    /// How many lookups have had an outcome. Changes under the lock of `last`.
    outcomes: AtomicU64,
    /// How many sessions have got the addresses. The next one begins with the address that follows.
    sessions: AtomicUsize,
}

type Outcome = Result<Answer, LookupFailure>;

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

    /// The addresses of `name`, at least one. Each call begins with another one, so that sessions spread over them.
    ///
    /// Cancel-safe: another session that waits for the name then looks it up itself.
    pub(super) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, LookupFailure> {
        // As nginx: a client chooses the letters of the name in its TLS.
        let entry = self.entry(&name.to_ascii_lowercase())?;
        let looked_up = entry.look_up();
        let ips = match self.limit {
            Some(limit) => timeout(limit, looked_up)
                .await
                .unwrap_or(Err(LookupFailure::Timeout)),
            None => looked_up.await,
        };
        ips.map(|ips| entry.rotated(&ips))
    }

    fn entry(&self, name: &str) -> Result<Arc<CachedHost>, LookupFailure> {
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
        let entry = Arc::new(CachedHost::new(dns));
        names.insert(name.to_owned(), Arc::clone(&entry));
        Ok(entry)
    }
}

impl CachedHost {
    fn new(dns: Dns) -> Self {
        Self {
            dns,
            last: AsyncMutex::default(),
            outcomes: AtomicU64::new(0),
            sessions: AtomicUsize::new(0),
        }
    }

    async fn look_up(&self) -> Result<Arc<[IpAddr]>, LookupFailure> {
        // The lock of `last` orders what is read under it.
        let before = self.outcomes.load(Relaxed);
        let mut last = self.last.lock().await;
        let has_waited = self.outcomes.load(Relaxed) != before;
        let holds = |answer: &Answer| answer.holds(Instant::now());
        // A failure is for the sessions that waited for it. A later one asks again, as in nginx.
        let known = last.as_ref();
        if let Some(known) = known.filter(|last| has_waited || last.as_ref().is_ok_and(holds)) {
            return known.clone().map(|answer| answer.ips);
        }
        let outcome = self.ask().await;
        *last = Some(outcome.clone());
        self.outcomes.fetch_add(1, Relaxed);
        outcome.map(|answer| answer.ips)
    }

    /// Asks the name servers.
    async fn ask(&self) -> Outcome {
        let found = self.dns.lookup().await.map_err(|error| {
            debug!(%error, "Host not resolved");
            LookupFailure::from(&error)
        })?;
        let found_ips = found.snapshot.iter().map(|backend| backend.addr.ip());
        let ips: Arc<[IpAddr]> = found_ips.collect();
        if ips.is_empty() {
            return Err(LookupFailure::NotFound);
        }
        let valid_for = found.valid_for.unwrap_or(DEFAULT_VALIDITY);
        let until = Instant::now().checked_add(valid_for);
        let valid_until = until.unwrap_or_else(|| Instant::now() + DEFAULT_VALIDITY);
        Ok(Answer { ips, valid_until })
    }

    /// `ips`, which are in the order of their values, from the one at which the next session begins.
    fn rotated(&self, ips: &[IpAddr]) -> Vec<IpAddr> {
        let first = self.sessions.fetch_add(1, Relaxed) % ips.len().max(1);
        let (end, start) = ips.split_at(first);
        [start, end].concat()
    }

    /// Whether it is looked up now, or has an answer that holds.
    fn is_in_use(&self, now: Instant) -> bool {
        let Ok(last) = self.last.try_lock() else {
            return true;
        };
        let answer = last.as_ref().and_then(|last| last.as_ref().ok());
        answer.is_some_and(|answer| answer.holds(now))
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

#[cfg(test)]
mod tests;
