//! The services of the backends, one each.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::pool::Pool;

/// The services that were made for backends of a pool. Those of removed backends are dropped with the next request.
#[derive(Debug)]
pub(super) struct Services<S>(Arc<Mutex<ServiceMap<S>>>);

#[derive(Debug)]
struct ServiceMap<S> {
    /// Sees the changes of the membership.
    pool: Pool,
    by_addr: HashMap<SocketAddr, S>,
}

impl<S> Clone for Services<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Clone> Services<S> {
    pub(super) fn new(pool: Pool) -> Self {
        let by_addr = HashMap::new();
        Self(Arc::new(Mutex::new(ServiceMap { pool, by_addr })))
    }

    /// The service of the backend at `addr`, if there is one.
    pub(super) fn get(&self, addr: SocketAddr) -> Option<S> {
        let mut made = self.lock();
        if made.pool.has_changed() {
            let backends = made.pool.upstream().backends();
            made.by_addr.retain(|&addr, _| backends.contains(addr));
        }
        made.by_addr.get(&addr).cloned()
    }

    pub(super) fn insert(&self, addr: SocketAddr, service: S) {
        // The drop of the one before is the embedder's code, and runs without the lock.
        let before = self.lock().by_addr.insert(addr, service);
        drop(before);
    }

    pub(super) fn remove(&self, addr: SocketAddr) {
        let removed = self.lock().by_addr.remove(&addr);
        drop(removed);
    }

    /// A panic of a clone or a drop under the lock leaves the map consistent.
    fn lock(&self) -> MutexGuard<'_, ServiceMap<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
