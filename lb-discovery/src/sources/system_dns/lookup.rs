//! One lookup by the system's resolver.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use lb_core::{Backend, Snapshot};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tracing::warn;

use crate::error::DiscoveryError;
use crate::host_rules::usable;
use crate::sources::polled::lookup::{Lookup, Resolved};

/// The maximum number of addresses of one name.
pub(crate) const MAX_ADDRESSES: usize = 1024;

/// The default limit on the time of one lookup.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

type Resolve = fn(&str) -> io::Result<Vec<IpAddr>>;

/// The lookup of one name.
#[derive(Clone)]
pub(crate) struct SystemLookup {
    name: Arc<str>,
    port: u16,
    limit: Duration,
    resolve: Resolve,
    /// A lookup cannot be cancelled, so the next one waits for its thread instead of starting another.
    turn: Arc<Semaphore>,
    /// Whether it is logged that there are too many addresses.
    too_many: Arc<AtomicBool>,
}

impl SystemLookup {
    pub(crate) fn new(name: &str, port: u16) -> Self {
        Self {
            name: name.into(),
            port,
            limit: TIMEOUT,
            resolve,
            turn: Arc::new(Semaphore::new(1)),
            too_many: Arc::default(),
        }
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Asks on a thread of its own, which does not keep the process or its runtime from ending.
    async fn ask(&self) -> Result<Vec<IpAddr>, DiscoveryError> {
        let answer = async {
            let turn = Arc::clone(&self.turn).acquire_owned().await;
            let (done, answer) = oneshot::channel();
            let (resolve, name) = (self.resolve, Arc::clone(&self.name));
            let ask = move || {
                let answer = resolve(&name);
                drop(turn);
                // The caller may have stopped waiting.
                let _ = done.send(answer);
            };
            let thread = thread::Builder::new().name("resolver".to_owned());
            thread.spawn(ask)?;
            answer.await.map_err(io::Error::other)?
        };
        match timeout(self.limit, answer).await {
            Ok(answer) => answer.map_err(|error| self.unavailable(&error.to_string())),
            Err(_) => Err(DiscoveryError::Timeout {
                what: self.what(),
                problem: format!(
                    "the system's resolver did not answer within {:?}",
                    self.limit
                )
                .into(),
            }),
        }
    }

    fn what(&self) -> Box<str> {
        format!("looking up {}", self.name).into()
    }

    fn unavailable(&self, problem: &str) -> DiscoveryError {
        DiscoveryError::Unavailable {
            what: self.what(),
            problem: problem.into(),
            source: None,
        }
    }
}

impl fmt::Debug for SystemLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemLookup")
            .field("name", &self.name)
            .field("port", &self.port)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Lookup for SystemLookup {
    fn label(&self) -> Arc<str> {
        format!("system-dns:{}", self.name).into()
    }

    fn identity(&self) -> Arc<str> {
        format!("system-dns {} {}", self.name, self.port).into()
    }

    async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
        let mut valid_for = None;
        let found = if let Ok(addr) = self.name.parse() {
            valid_for = Some(Duration::MAX);
            vec![addr]
        } else {
            self.ask().await?
        };
        let addrs: BTreeSet<IpAddr> = found.into_iter().filter(|addr| usable(*addr)).collect();
        if addrs.is_empty() {
            return Err(self.unavailable("no address that a backend can have"));
        }
        let too_many = addrs.len() > MAX_ADDRESSES;
        if !self.too_many.swap(too_many, Ordering::Relaxed) && too_many {
            let addresses = addrs.len();
            warn!(name = %self.name, addresses, kept = MAX_ADDRESSES, "Too many addresses");
        }
        let kept = addrs.into_iter().take(MAX_ADDRESSES);
        let backend =
            |addr| Backend::new(SocketAddr::new(addr, self.port)).name(Arc::clone(&self.name));
        Ok(Resolved::new(
            Snapshot::from_backends(kept.map(backend)),
            valid_for,
        ))
    }
}

/// Calls getaddrinfo(3).
fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|addr| addr.ip()).collect())
}

#[cfg(test)]
mod tests;
