//! A described listener that a bind or a reload opens.

use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::Endpoint;

use super::bind_retry::is_in_use;
use crate::error::BindError;
use crate::listener::Listener;
use crate::listener::bind::BindConfig;
use crate::listener::sockets::ListenerSockets;
use crate::state::worker::Worker;

/// A described listener, and its sockets once they are open. Dropping it closes them.
#[derive(Debug)]
pub(crate) struct PendingListener {
    pub(crate) listener: Listener,
    pub(crate) sockets: Option<ListenerSockets>,
    /// The sockets were opened although sockets of this proxy overlap with them.
    beside: bool,
}

impl PendingListener {
    pub(crate) const fn new(listener: Listener) -> Self {
        Self {
            listener,
            sockets: None,
            beside: false,
        }
    }

    /// The options of its sockets. `port` replaces port 0 of the description.
    pub(crate) const fn bind_config(&self, port: u16) -> BindConfig {
        let mut config = *self.listener.bind_config();
        if config.addr.port() == 0 && !Endpoint::is_unix_key(config.addr) {
            config.addr.set_port(port);
        }
        config
    }

    /// Whether its own sockets are not open yet.
    pub(crate) fn is_missing(&self) -> bool {
        self.listener.has_socket() && self.sockets.is_none()
    }

    /// Opens a socket for each of `workers`, unless they are open. `in_the_way` is a running listener with an
    /// overlapping address and relaxed sockets; `beside` says that there are others that this description opens.
    pub(crate) fn open(
        &mut self,
        workers: &[Arc<Worker>],
        port: u16,
        beside: bool,
        in_the_way: Option<SocketAddr>,
    ) -> Result<(), BindError> {
        if self.sockets.is_some() {
            return Ok(());
        }
        let BindConfig { addr, .. } = self.bind_config(port);
        let beside = beside || in_the_way.is_some();
        let opened = self.listener.open(workers, port, beside);
        let sockets = opened.map_err(|source| match in_the_way {
            Some(other) if is_in_use(&source) => BindError::InTheWay {
                addr,
                other,
                source,
            },
            _ => BindError::Listen {
                addr: match self.listener.endpoint() {
                    Endpoint::Tcp(_) => addr.into(),
                    unix => unix,
                },
                source,
            },
        })?;
        self.sockets = Some(sockets);
        self.beside = beside;
        Ok(())
    }

    /// The port that other programs of the same user may join until
    /// [`close_port`](crate::listener::address_guard::close_port) is called, if there is one. `kept` are the sockets of
    /// the running listener, if they stay.
    pub(crate) fn open_port(&self, kept: Option<&ListenerSockets>) -> Option<u16> {
        let shares = self.listener.bind_config().reuse_port;
        let is_open = match (kept, &self.sockets) {
            (Some(kept), _) => kept.bound.reuse_port != shares,
            (None, Some(sockets)) => sockets.is_guarded() || self.beside,
            (None, None) => false,
        };
        let sockets = kept.or(self.sockets.as_ref()).filter(|_| is_open)?;
        sockets.bound.port()
    }

    /// Closes the sockets if they overlap with other sockets of this proxy.
    pub(crate) fn close_if_beside(&mut self) {
        if self.beside {
            self.sockets = None;
        }
    }
}
