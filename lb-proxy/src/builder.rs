//! A proxy before it does anything.

use std::net::SocketAddr;
use std::time::Duration;

use crate::budget::DescriptorBudget;
use crate::entrance::{Building, Entrance};
use crate::error::{BindError, BuildError};
use crate::limits::Limits;
use crate::listener::{Listener, Opened};
use crate::server::{Server, Shared, Signals};
use crate::upstream::Upstream;
use crate::worker::{Crew, Workers};

/// What a worker's runtime needs besides its listening sockets.
const DESCRIPTORS_OF_WORKER: u64 = 4;

/// A TCP proxy whose settings were checked. Nothing is opened before [`bind`](Self::bind).
#[derive(Debug)]
pub struct Proxy {
    listeners: Vec<Listener>,
    upstreams: Vec<Upstream>,
    workers: Workers,
    limits: Limits,
    reserve: u64,
    drain_timeout: Option<Duration>,
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
                drain_timeout: Some(Duration::from_secs(30)),
            },
        }
    }

    /// Opens the listening sockets, starts the workers and begins to follow the upstreams' sources. Must run in a Tokio
    /// runtime with I/O and time enabled; what the [workers](ProxyBuilder::workers) do not do runs in it.
    ///
    /// # Errors
    ///
    /// The first address that cannot be listened on, or the first worker that cannot be started; nothing stays open
    /// then.
    pub async fn bind(self) -> Result<Server, BindError> {
        let workers = self.workers.count();
        let listeners = self.listeners.into_iter();
        let opened: Vec<Opened> = listeners
            .map(|listener| listener.open(workers))
            .collect::<Result<_, _>>()?;
        let reserve = self.reserve + DESCRIPTORS_OF_WORKER * workers as u64;
        let descriptors = DescriptorBudget::of_process(reserve);
        let building = Building::new(descriptors.sessions, self.limits);
        let listening = opened.iter();
        let listening = listening.map(|opened| (opened.addr, opened.route.upstream.clone()));
        let listening = listening.collect();
        let entrances = opened.into_iter().map(|opened| {
            let Opened { addr, route, .. } = opened;
            let entrance = Entrance::new(addr, route, opened.limits, &building);
            (entrance, opened.sockets)
        });
        let signals = Signals::new();
        let (crew, workers) = Crew::gather(self.workers, entrances.collect(), &signals)
            .map_err(|source| BindError::Worker { source })?;
        Ok(Server::start(
            crew,
            listening,
            self.upstreams,
            self.drain_timeout,
            descriptors,
            Shared { workers, signals },
        ))
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

    /// Makes an upstream known that no listener names because a [`Prelude`](crate::Prelude) chooses it, so that its
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

    /// Sets how long a shutdown waits for open sessions. Default: 30 s, the grace period of a Kubernetes pod. `None`
    /// waits for ever.
    pub fn drain_timeout(mut self, drain_timeout: Option<Duration>) -> Self {
        self.proxy.drain_timeout = drain_timeout;
        self
    }

    /// Checks the description.
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn build(self) -> Result<Proxy, BuildError> {
        if self.proxy.listeners.is_empty() {
            return Err(BuildError::NoListener);
        }
        self.proxy.listeners.iter().try_for_each(Listener::check)?;
        Ok(self.proxy)
    }
}
