//! A proxy before it does anything.

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::{BindError, BuildError};
use crate::listener::Listener;
use crate::server::Server;
use crate::upstream::Upstream;

/// A TCP proxy whose settings were checked. Nothing is opened before [`bind`](Self::bind).
#[derive(Debug)]
pub struct Proxy {
    listeners: Vec<Listener>,
    drain_timeout: Option<Duration>,
}

impl Proxy {
    /// Starts the description of a proxy.
    pub fn builder() -> ProxyBuilder {
        ProxyBuilder {
            listeners: Vec::new(),
            drain_timeout: Some(Duration::from_secs(30)),
        }
    }

    /// Opens the listening sockets and begins to follow the upstreams' sources. Must run in a Tokio runtime with I/O
    /// and time enabled; it and all sessions use that runtime.
    ///
    /// # Errors
    ///
    /// The first address that cannot be listened on; nothing stays open then.
    pub async fn bind(self) -> Result<Server, BindError> {
        let listeners = self.listeners.into_iter().map(Listener::bind);
        let listeners = listeners.collect::<Result<_, _>>()?;
        Ok(Server::start(listeners, self.drain_timeout))
    }
}

/// Describes a [`Proxy`].
#[derive(Debug)]
#[must_use]
pub struct ProxyBuilder {
    listeners: Vec<Listener>,
    drain_timeout: Option<Duration>,
}

impl ProxyBuilder {
    /// Listens on `addr` for connections to `upstream`, everything else at its default.
    pub fn listen(self, addr: SocketAddr, upstream: &Upstream) -> Self {
        self.listener(Listener::new(addr, upstream))
    }

    /// Adds a listener with settings of its own.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Sets how long a shutdown waits for open sessions. Default: 30 s, the grace period of a Kubernetes pod. `None`
    /// waits for ever.
    pub fn drain_timeout(mut self, drain_timeout: Option<Duration>) -> Self {
        self.drain_timeout = drain_timeout;
        self
    }

    /// Checks the description.
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn build(self) -> Result<Proxy, BuildError> {
        if self.listeners.is_empty() {
            return Err(BuildError::NoListener);
        }
        self.listeners.iter().try_for_each(Listener::check)?;
        Ok(Proxy {
            listeners: self.listeners,
            drain_timeout: self.drain_timeout,
        })
    }
}
