//! What an embedder holds of a server that runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::ReloadError;
use crate::metrics::Metrics;
use crate::server::Shared;
use crate::server::budget::DescriptorBudget;
use crate::server::builder::Proxy;
use crate::server::reload::{self, Reloaded};

/// Watches, changes and ends a [`Server`](crate::Server) from elsewhere. Cloning costs one reference count.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// How far the life of a [`Server`](crate::Server) has come.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// The sockets are open, and connections queue.
    Starting,
    /// Connections are accepted.
    Serving,
    /// Connections are accepted still, but others should send no more: time for load balancers in front and DNS to notice.
    Leaving,
    /// No more connections are accepted; sessions may end.
    Draining,
    /// What is left is reset.
    Closing,
    /// No session is left.
    Ended,
}

impl Handle {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Begins the end, as when the future given to [`Server::run`](crate::Server::run) completes.
    pub fn shutdown(&self) {
        self.shared.signals.leave.cancel();
    }

    /// Ends at once: listening sockets are closed, open sessions are reset. A side whose kernel has not acknowledged
    /// everything is ended instead, so that the kernel delivers what it was given. What the kernel was not given yet is lost.
    pub fn abort(&self) {
        self.shared.signals.abort.cancel();
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        *self.shared.phase.borrow()
    }

    /// Completes when `phase` has been reached, or a later one. Of a server that is dropped before, never.
    ///
    /// Cancel-safe.
    pub async fn reached(&self, phase: Phase) {
        let mut phases = self.shared.phase.subscribe();
        // The sender lives as long as `self`.
        let _ = phases.wait_for(|now| *now >= phase).await;
    }

    /// Whether new connections are welcome: what a readiness probe should say. It says no as soon as the end has begun,
    /// while connections are accepted for the [`pre_stop_delay`](crate::ProxyBuilder::pre_stop_delay) still.
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Serving && !self.shared.signals.leave.is_cancelled()
    }

    /// Makes the server what `proxy` describes, without touching sessions that there are.
    ///
    /// - A listener is known by the address it was described with. One that stays keeps its sockets and refuses nobody; its
    ///   new sessions go by the new description. Only another [`ipv6_only`](crate::Listener::ipv6_only) of `[::]` takes
    ///   other sockets. One that is new is bound before anything changes, also if its address overlaps with that of one
    ///   that goes, as `0.0.0.0:80` does with `127.0.0.1:80`: for a moment both are open, and no client finds the address
    ///   closed. One that is gone accepts no more; its sessions live on. The kernel resets connections that are made
    ///   between the last look and the close of a socket.
    /// - An upstream is known by its name. One that stays keeps what it knows of its backends, also if it is the same
    ///   [`Upstream`](crate::Upstream); another one of that name gives it its settings, and its handles mean the one that
    ///   stays from then on. Its backends stay until the new sources have answered. Upstreams that only a preread chooses
    ///   must be [made known](crate::ProxyBuilder::upstream).
    /// - Limits on sessions count those that they counted before. A limit that is new counts new sessions.
    /// - The [budget of descriptors](Self::descriptors) is computed anew. Workers stay what they were.
    ///
    /// An address in use is tried again for the [`bind_timeout`](crate::ProxyBuilder::bind_timeout) of `proxy`. Completes
    /// when the sockets of the listeners that are gone are closed, so that what it returns holds. One reload is applied at
    /// a time, in the order of the calls.
    ///
    /// May be called from anywhere. Costs the calls that open sockets.
    ///
    /// Cancel-safe: the reload has been applied as a whole or not at all.
    ///
    /// # Errors
    ///
    /// [`ReloadError`], and then nothing has changed. Sockets of another user stand in the way of an address that
    /// overlaps: those that root opened before the process became another user, or systemd. See
    /// [`BindError::InTheWay`](crate::BindError::InTheWay).
    pub async fn reload(&self, proxy: Proxy) -> Result<Reloaded, ReloadError> {
        reload::reload(&self.shared, proxy).await
    }

    /// How many sessions there are descriptors for now.
    pub fn descriptors(&self) -> DescriptorBudget {
        self.shared.roster().descriptors()
    }

    /// The addresses listened on now, in the order of the description.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.shared.roster().addrs()
    }

    /// What was counted until now, by all workers together.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// What each worker has counted, in the order of their threads; one entry without workers.
    pub fn worker_metrics(&self) -> Vec<Metrics> {
        let workers = self.shared.workers.iter().map(|worker| {
            let mut metrics = Metrics::default();
            worker.counters.add_to(&mut metrics);
            metrics
        });
        workers.collect()
    }
}

/// How a shutdown went.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DrainReport {
    /// Sessions that had to be reset.
    pub aborted: u64,
    /// Sessions that were open when draining began, or came before accepting had ended, and ended by themselves.
    pub completed: u64,
    /// From the end of accepting to that of the last session: `draining` and `closing`.
    pub elapsed: Duration,
    /// How long connections were accepted after the shutdown had begun.
    pub pre_stop: Duration,
    /// How long sessions had time to end by themselves.
    pub draining: Duration,
    /// How long it took to reset what was left.
    pub closing: Duration,
}
