//! A proxy before it does anything.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::error::{BindError, BuildError};
use crate::limits::Limits;
use crate::listener::Listener;
use crate::server::handle::Phase;
use crate::server::listener_set::Roster;
use crate::server::opening::PAUSE;
use crate::server::reload::{Plan, open_all};
use crate::server::worker_pool::{Crew, Workers};
use crate::server::{Farewell, Server, Shared, Signals};
use crate::state::watch::Watch;
use crate::upstream::Upstream;

/// What a worker's runtime needs besides its listening sockets.
const DESCRIPTORS_OF_WORKER: u64 = 4;

/// A TCP proxy whose settings were checked. Nothing is opened before [`bind`](Self::bind).
#[derive(Debug)]
pub struct Proxy {
    pub(crate) listeners: Vec<Listener>,
    upstreams: Vec<Upstream>,
    pub(crate) workers: Workers,
    pub(crate) limits: Limits,
    reserve: u64,
    pub(crate) bind_timeout: Duration,
    pub(crate) farewell: Farewell,
}

impl Proxy {
    /// Starts the description of a proxy.
    pub fn builder() -> ProxyBuilder {
        ProxyBuilder {
            proxy: Self {
                listeners: Vec::new(),
                upstreams: Vec::new(),
                workers: Workers::default(),
                limits: Limits::default(),
                reserve: 32,
                bind_timeout: Duration::from_millis(2500),
                farewell: Farewell {
                    pre_stop_delay: Duration::ZERO,
                    drain_timeout: Some(Duration::from_secs(30)),
                    close_spread: Duration::ZERO,
                },
            },
        }
    }

    /// Opens the listening sockets, starts the workers and begins to follow the upstreams' sources. Must run in a Tokio
    /// runtime with I/O and time enabled; what the [workers](ProxyBuilder::workers) do not do runs in it.
    ///
    /// # Errors
    ///
    /// The first address that cannot be listened on, after the [`bind_timeout`](ProxyBuilder::bind_timeout), or the first worker that cannot be started; nothing stays open
    /// then.
    pub async fn bind(self) -> Result<Server, BindError> {
        let signals = Signals::new();
        let watch = Arc::new(Watch::new());
        let (crew, workers) = Crew::gather(self.workers, &signals, &watch)
            .map_err(|source| BindError::Worker { source })?;
        let mut plan = Plan::new(self, workers.len());
        while let Err(error) = open_all(&mut plan, &workers) {
            if !plan.may_try_again(&error) {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
        let roster = Roster::new(plan, &signals, &watch);
        let shared = Shared {
            workers,
            signals,
            watch,
            phase: watch::Sender::new(Phase::Starting),
            runtime: Handle::current(),
            roster: Mutex::new(roster),
            reloading: tokio::sync::Mutex::default(),
        };
        Ok(Server::new(crew, shared))
    }

    /// How many descriptors are kept for everything but sessions and listening sockets, with so many workers.
    pub(crate) const fn reserve_with(&self, workers: usize) -> u64 {
        self.reserve + DESCRIPTORS_OF_WORKER * workers as u64
    }

    /// Every upstream that it names, once.
    pub(crate) fn all_upstreams(&self) -> Vec<Upstream> {
        let mut seen = HashSet::new();
        let first = |upstream: &&Upstream| seen.insert(upstream.id());
        self.named_upstreams().filter(first).cloned().collect()
    }

    /// Every upstream as often as it is named.
    fn named_upstreams(&self) -> impl Iterator<Item = &Upstream> {
        let listeners = self.listeners.iter().map(Listener::upstream);
        listeners.chain(&self.upstreams)
    }
}

/// Describes a [`Proxy`].
#[derive(Debug)]
#[must_use]
pub struct ProxyBuilder {
    proxy: Proxy,
}

impl ProxyBuilder {
    /// Listens on `addr` for connections to `upstream`, everything else at its default.
    pub fn listen(self, addr: SocketAddr, upstream: &Upstream) -> Self {
        self.listener(Listener::new(addr, upstream))
    }

    /// Adds a listener with settings of its own.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.proxy.listeners.push(listener);
        self
    }

    /// Makes an upstream known that no listener names because a [`Preread`](crate::Preread) chooses it, so that its
    /// sources are followed.
    pub fn upstream(mut self, upstream: &Upstream) -> Self {
        self.proxy.upstreams.push(upstream.clone());
        self
    }

    /// Sets where sessions run. Default: [`Workers::Here`].
    pub fn workers(mut self, workers: Workers) -> Self {
        self.proxy.workers = workers;
        self
    }

    /// Limits the sessions of all listeners together. Default: no limits but the
    /// [descriptors](Server::descriptors) of the process.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.proxy.limits = limits;
        self
    }

    /// Sets how many descriptors are kept for everything but sessions: discovery, logs, and what else the process
    /// opens after the proxy is bound. Default: 32, and four for each worker on top.
    pub fn reserve_descriptors(mut self, reserve: u32) -> Self {
        self.proxy.reserve = reserve.into();
        self
    }

    /// Sets for how long an address in use is tried again, by [`Proxy::bind`] and by a
    /// [reload](crate::Handle::reload): the process that ends may still hold it. Default: 2.5 s, as nginx. Zero fails at
    /// once. A listener with [`reuse_port`](Listener::reuse_port) waits for a fifth of it, because the process that ends
    /// would share the address.
    pub fn bind_timeout(mut self, timeout: Duration) -> Self {
        self.proxy.bind_timeout = timeout;
        self
    }

    /// Sets how long a shutdown waits for open sessions. Default: 30 s, the grace period of a Kubernetes pod. `None`
    /// waits for ever.
    pub fn drain_timeout(mut self, drain_timeout: Option<Duration>) -> Self {
        self.proxy.farewell.drain_timeout = drain_timeout;
        self
    }

    /// Sets for how long a shutdown goes on accepting after [`Handle::is_ready`](crate::Handle::is_ready) has become
    /// false. Default: none. Whoever sends connections here needs some seconds to notice: in Kubernetes the period of the
    /// readiness probe, in DNS the time to live.
    #[doc(alias = "preStop")]
    pub fn pre_stop_delay(mut self, delay: Duration) -> Self {
        self.proxy.farewell.pre_stop_delay = delay;
        self
    }

    /// Sets over how long a shutdown resets the sessions that outlast the [drain](Self::drain_timeout), in 64 steps, so
    /// that their clients do not come back all at once elsewhere. Default: none, all at once.
    pub fn close_spread(mut self, spread: Duration) -> Self {
        self.proxy.farewell.close_spread = spread;
        self
    }

    /// Checks the description.
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn build(mut self) -> Result<Proxy, BuildError> {
        if self.proxy.listeners.is_empty() {
            return Err(BuildError::NoListener);
        }
        self.proxy.listeners.iter().try_for_each(Listener::check)?;
        let passes_tlvs = self.proxy.named_upstreams().any(Upstream::passes_tlvs);
        for listener in &mut self.proxy.listeners {
            listener.keep_tlvs(passes_tlvs);
        }
        Ok(self.proxy)
    }
}
