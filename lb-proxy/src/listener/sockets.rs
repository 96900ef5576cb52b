//! The open sockets of a listener.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use lb_core::Endpoint;
use socket2::{SockRef, Socket};

use super::bind::BindConfig;
use super::inheritable::InheritableSockets;
use crate::net::acceptor::Acceptor;
use crate::net::unix::SocketFile;
use crate::state::route::Route;

/// The sockets that hold the address of a listener. Dropping it closes them, unless an accept loop still has one.
#[derive(Debug)]
pub(crate) struct ListenerSockets {
    pub(crate) bound: BindConfig,
    /// At least one for each worker, in their order, and over again if there are more. None if a wildcard's socket accepts the
    /// connections.
    pub(crate) acceptors: Vec<Arc<Acceptor>>,
    /// How many sockets these are; the acceptors behind them are clones.
    pub(super) distinct: usize,
    /// See [`address_guard`](super::address_guard).
    pub(super) guard: Option<Socket>,
    /// The embedder opened the socket; the acceptors are clones of it.
    pub(crate) taken: bool,
    /// What the description says, if the sockets are another process's that still serves them: they are changed when this
    /// process begins to accept, so that one which fails before changes nothing.
    pub(super) unsettled: Option<BindConfig>,
    /// The file of a unix socket, unless the embedder opened the socket. Dropped together with the sockets, which removes it.
    pub(super) file: Option<SocketFile>,
}

impl ListenerSockets {
    /// Those of a listener without a socket.
    pub(super) const fn none(bound: BindConfig) -> Self {
        Self {
            bound,
            acceptors: Vec::new(),
            distinct: 0,
            guard: None,
            taken: false,
            unsettled: None,
            file: None,
        }
    }

    /// Applies the description to sockets of another process, with the options of `route`. Returns whether there were any.
    pub(crate) fn settle(&mut self, route: &Route) -> io::Result<bool> {
        let Some(config) = self.unsettled.take() else {
            return Ok(false);
        };
        for socket in &self.acceptors[..self.distinct] {
            let socket = SockRef::from(&**socket);
            config.listen(&socket)?;
            apply_options(route, &socket)?;
        }
        if route.unix.is_none() {
            self.set_shared(config.reuse_port)?;
        }
        Ok(true)
    }

    /// Duplicates of the sockets, to be handed over to another process. `None` if a wildcard's socket accepts the connections.
    pub(crate) fn duplicate(&self, endpoint: Endpoint) -> io::Result<Option<InheritableSockets>> {
        if self.acceptors.is_empty() {
            return Ok(None);
        }
        let listening = self.acceptors[..self.distinct].iter();
        let listening = listening.map(|socket| socket.as_fd().try_clone_to_owned());
        let guard = self.guard.as_ref().map(Socket::try_clone).transpose()?;
        Ok(Some(InheritableSockets::new(
            endpoint,
            listening.collect::<Result<_, _>>()?,
            guard.map(Into::into),
            self.taken,
        )))
    }

    /// Sets whether the file of a unix socket is left when the sockets are closed.
    pub(crate) fn keep_file(&mut self, keep: bool) {
        if let Some(file) = &mut self.file {
            file.keep(keep);
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
        if self.distinct > 1 {
            self.guard = (!reuse_port).then(|| self.bound.guard(true)).transpose()?;
        } else {
            self.set_reuse_port(reuse_port)?;
        }
        self.bound.reuse_port = reuse_port;
        Ok(())
    }
}

/// Sets the options that accepted connections inherit.
pub(super) fn apply_options(route: &Route, socket: &SockRef<'_>) -> io::Result<()> {
    let options = &route.client_options;
    match route.unix {
        Some(_) => options.apply_to_unix(socket),
        None => options.apply(socket),
    }
}
