//! The backends of an upstream whose counters are reported.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_core::{Backend, BackendSet};

use super::backend::{BackendCounters, BackendMetrics};

/// How many backends that left are reported at most, if the set is not larger: those that a scrape has not shown yet.
const KEPT: usize = 1000;

/// The backends of an upstream that have had an attempt or a change. Locked once for each new backend, at its failures, by
/// updates and by readers.
#[derive(Debug)]
pub(super) struct BackendList {
    workers: usize,
    backends: Mutex<HashMap<SocketAddr, Arc<BackendCounters>>>,
}

impl BackendList {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers,
            backends: Mutex::default(),
        }
    }

    /// The counters of a backend, which go on if it has left and returned.
    pub(super) fn of(&self, backend: &Backend) -> Arc<BackendCounters> {
        let new = || Arc::new(BackendCounters::new(backend, self.workers));
        Arc::clone(self.lock().entry(backend.addr).or_insert_with(new))
    }

    /// Reports `counters` again, which were not listed any more.
    #[cold]
    pub(super) fn relist(&self, counters: &Arc<BackendCounters>) {
        let mut backends = self.lock();
        let listed = backends.entry(counters.addr());
        listed.or_insert_with(|| Arc::clone(counters));
        counters.list();
    }

    /// Forgets the backends that are not in `set`, have no session and were not reported, if there are more of them than
    /// [`KEPT`] and than `set` has. So memory has a bound without a scrape, and a scrape still shows the last values after
    /// a rolling update of the whole set.
    pub(super) fn limit(&self, set: &BackendSet) {
        let members = set.snapshot().len();
        let mut backends = self.lock();
        if backends.len() > members + members.max(KEPT) {
            backends.retain(|&addr, counters| set.contains(addr) || !counters.unlist());
        }
    }

    /// Reads all counters in the order of the addresses. With `forget`, backends are reported for the last time that have
    /// left and have no session.
    pub(super) fn read(
        &self,
        is_member: impl Fn(SocketAddr) -> bool,
        forget: bool,
    ) -> Vec<BackendMetrics> {
        let mut all = Vec::new();
        self.lock().retain(|&addr, counters| {
            let is_current = is_member(addr);
            // Before the values are read, so that they are the last ones.
            let is_last = forget && !is_current && counters.unlist();
            all.push((addr, counters.read(is_current)));
            !is_last
        });
        all.sort_by_key(|(addr, _)| *addr);
        all.into_iter().map(|(_, metrics)| metrics).collect()
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<BackendCounters>>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
