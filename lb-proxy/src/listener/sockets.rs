//! The open sockets of a listener.

use std::io;
use std::sync::Arc;

use socket2::{SockRef, Socket};

use super::bind::BindConfig;
use crate::net::acceptor::Acceptor;
use crate::net::unix::SocketFile;

/// The sockets that hold the address of a listener. Dropping it closes them, unless an accept loop still has one.
#[derive(Debug)]
pub(crate) struct ListenerSockets {
    pub(crate) bound: BindConfig,
    /// One for each worker. None if a wildcard's socket accepts the connections.
    pub(crate) acceptors: Vec<Arc<Acceptor>>,
    /// See [`address_guard`](super::address_guard).
    pub(super) guard: Option<Socket>,
    /// The embedder opened the socket; the acceptors are clones of it.
    pub(crate) taken: bool,
    /// The file of a unix socket, unless the embedder opened the socket.
    #[expect(
        dead_code,
        reason = "dropped together with the sockets, which removes the file"
    )]
    pub(super) file: Option<SocketFile>,
}

impl ListenerSockets {
    /// Those of a listener without a socket.
    pub(super) const fn none(bound: BindConfig) -> Self {
        Self {
            bound,
            acceptors: Vec::new(),
            guard: None,
            taken: false,
            file: None,
        }
    }

    /// Whether some connection matches these sockets and those of `config`.
    pub(crate) fn overlaps(&self, config: &BindConfig) -> bool {
        !self.acceptors.is_empty() && self.bound.overlaps(config)
    }

    /// How many descriptors the sockets take.
    pub(crate) fn descriptors(&self) -> u64 {
        (self.acceptors.len() + usize::from(self.guard.is_some())) as u64
    }

    /// Whether [`close_port`](super::address_guard::close_port) must follow after the sockets were opened.
    pub(crate) const fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// Lets sockets with `SO_REUSEPORT` bind to the address.
    pub(crate) fn relax(&self) -> io::Result<()> {
        self.set_reuse_port(true)
    }

    /// Lets sockets of other programs bind to the address only if the listener shares it.
    pub(crate) fn tighten(&self) -> io::Result<()> {
        if self.bound.reuse_port {
            return Ok(());
        }
        self.set_reuse_port(false)
    }

    fn set_reuse_port(&self, on: bool) -> io::Result<()> {
        match (&self.guard, self.acceptors.first()) {
            (Some(guard), _) => guard.set_reuse_port(on),
            (None, Some(socket)) => SockRef::from(&**socket).set_reuse_port(on),
            (None, None) => Ok(()),
        }
    }

    /// Changes whether the listener shares its address with other programs. A program that shares the address already goes
    /// on sharing it.
    pub(crate) fn set_shared(&mut self, reuse_port: bool) -> io::Result<()> {
        if self.taken || self.bound.reuse_port == reuse_port {
            return Ok(());
        }
        if self.acceptors.len() > 1 {
            self.guard = (!reuse_port).then(|| self.bound.guard(true)).transpose()?;
        } else {
            self.set_reuse_port(reuse_port)?;
        }
        self.bound.reuse_port = reuse_port;
        Ok(())
    }
}
