//! The counters of all listeners and upstreams of a server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_core::{BackendSet, Endpoint};

use super::kept::Kept;
use super::listener::{ListenerCounters, ListenerMetrics};
use super::upstream::{UpstreamCounters, UpstreamMetrics};

/// The counters of a server by listener, upstream and backend; see
/// [`ProxyBuilder::detailed_metrics`](crate::ProxyBuilder::detailed_metrics).
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DetailedMetrics {
    /// The listeners, in the order of their names.
    pub listeners: Vec<ListenerMetrics>,
    /// The upstreams, in the order of their names.
    pub upstreams: Vec<UpstreamMetrics>,
}

/// The live counters. They survive reloads.
#[derive(Debug)]
pub(crate) struct DetailedCounters {
    workers: usize,
    listeners: Mutex<Kept<String, ListenerCounters>>,
    upstreams: Mutex<Kept<Arc<str>, UpstreamCounters>>,
}

impl DetailedCounters {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            listeners: Mutex::default(),
            upstreams: Mutex::default(),
        }
    }

    /// The counters of a listener, which go on if it was removed and added again.
    pub(crate) fn listener(&self, listener: Endpoint) -> Arc<ListenerCounters> {
        let name = listener.to_string();
        let new = || Arc::new(ListenerCounters::new(listener, self.workers));
        lock(&self.listeners).get_or_insert(name, new)
    }

    /// The counters of an upstream called `name`. They are `used` if it has some from another server or an earlier use.
    pub(crate) fn upstream(
        &self,
        name: &Arc<str>,
        used: Option<&Arc<UpstreamCounters>>,
    ) -> Arc<UpstreamCounters> {
        let new = || match used {
            Some(used) => Arc::clone(used),
            None => Arc::new(UpstreamCounters::new(Arc::clone(name), self.workers)),
        };
        lock(&self.upstreams).get_or_insert(Arc::clone(name), new)
    }

    /// Reads all counters. `listeners` and `upstreams` are the current ones. With `forget`, what was removed and has no
    /// session any more is reported for the last time.
    pub(crate) fn read(
        &self,
        listeners: &[Endpoint],
        upstreams: &[(Arc<str>, Arc<BackendSet>)],
        forget: bool,
    ) -> DetailedMetrics {
        let mut metrics = DetailedMetrics {
            listeners: self.read_listeners(listeners, forget),
            upstreams: Vec::new(),
        };
        let mut sets: BTreeMap<&str, Vec<&BackendSet>> = BTreeMap::new();
        for (name, set) in upstreams {
            sets.entry(name).or_default().push(set);
        }
        lock(&self.upstreams).retain(|name, counters| {
            let current = sets.get(&**name);
            let is_member = |addr: SocketAddr| {
                current.is_some_and(|sets| sets.iter().any(|set| set.contains(addr)))
            };
            let is_last = forget && current.is_none() && counters.is_unused();
            let read = counters.read(current.is_some(), is_member, forget);
            metrics.upstreams.push(read);
            !is_last
        });
        metrics
    }

    /// Reads the counters of the listeners, with the parameters of [`read`](Self::read).
    fn read_listeners(&self, listeners: &[Endpoint], forget: bool) -> Vec<ListenerMetrics> {
        let mut metrics = Vec::new();
        let current: Vec<String> = listeners.iter().map(ToString::to_string).collect();
        lock(&self.listeners).retain(|name, counters| {
            let is_current = current.contains(name);
            // No session and no accept loop refers to it.
            let is_last = forget && !is_current && Arc::strong_count(counters) == 1;
            metrics.push(counters.read(is_current));
            !is_last
        });
        metrics
    }
}

/// No code that can panic runs under the locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
