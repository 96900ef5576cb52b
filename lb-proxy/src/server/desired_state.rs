//! The target state of a server.

use std::time::Duration;

use super::bind_retry::BindRetry;
use super::pending_listener::PendingListener;
use super::proxy::{Proxy, ShutdownConfig};
use super::worker_pool::Workers;
use crate::error::BindError;
use crate::limits::Limits;
use crate::upstream::Upstream;

/// The target state of a bind or a reload, built from a [`Proxy`].
#[derive(Debug)]
pub(crate) struct DesiredState {
    pub(crate) listeners: Vec<PendingListener>,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) workers: Workers,
    pub(crate) limits: Limits,
    pub(crate) tracks_sessions: bool,
    pub(crate) orphan_timeout: Option<Duration>,
    pub(crate) detailed_metrics: bool,
    /// Descriptors for everything but sessions and listening sockets, those of the workers' runtimes and of probes included.
    pub(crate) reserve: u64,
    pub(crate) shutdown: ShutdownConfig,
    retry: BindRetry,
}

impl DesiredState {
    /// The target state that `proxy` describes, for a server with this number of workers.
    pub(crate) fn new(proxy: Proxy, workers: usize) -> Self {
        let upstreams = proxy.all_upstreams();
        let probes = Upstream::probe_descriptors(&upstreams);
        Self {
            upstreams,
            workers: proxy.workers,
            limits: proxy.limits,
            tracks_sessions: proxy.tracks_sessions,
            orphan_timeout: proxy.orphan_timeout,
            detailed_metrics: proxy.detailed_metrics,
            reserve: proxy.reserve_with(workers).saturating_add(probes),
            shutdown: proxy.shutdown,
            retry: BindRetry::new(proxy.bind_timeout),
            listeners: proxy
                .listeners
                .into_iter()
                .map(PendingListener::new)
                .collect(),
        }
    }

    /// Whether an attempt to open the listeners that ended with `error` may be repeated after a
    /// [`RETRY_PAUSE`](super::bind_retry::RETRY_PAUSE).
    pub(crate) fn may_retry(&mut self, error: &BindError) -> bool {
        let listeners = self.listeners.iter();
        let configs = listeners.map(|pending| pending.listener.bind_config());
        self.retry.allows(error, configs)
    }

    /// Lets the listener with this number bind beside the open sockets of the other listeners that overlap with it. Returns
    /// whether there are any. `port` replaces port 0 of the description.
    pub(crate) fn relax_beside(&self, number: usize, port: u16) -> bool {
        let pending = &self.listeners[number];
        if !pending.is_missing() {
            return false;
        }
        let config = pending.bind_config(port);
        let open = self.listeners.iter();
        let open = open.filter_map(|pending| pending.sockets.as_ref());
        // Two listeners cannot have one address.
        let beside = open.filter(|open| open.overlaps(&config) && open.bound.addr != config.addr);
        let mut is_beside = false;
        for open in beside {
            is_beside = true;
            // If this fails, opening fails as well.
            let _ = open.relax();
        }
        is_beside
    }

    /// Closes the sockets that overlap with running ones.
    pub(crate) fn close_those_beside(&mut self) {
        let listeners = self.listeners.iter_mut();
        listeners.for_each(PendingListener::close_if_beside);
    }
}
