//! Opens the sockets of a described listener, and applies a changed description to open sockets.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use socket2::SockRef;

use super::bind::{BindConfig, BoundSockets, clones};
use super::description::Listener;
use super::sockets::ListenerSockets;
use crate::net::stream::Transport;
use crate::net::unix;
use crate::state::worker::Worker;

impl Listener {
    pub(crate) const fn bind_config(&self) -> &BindConfig {
        &self.bind
    }

    /// Whether the running listener with `sockets` can keep them for this description. Only multipath TCP, and
    /// `ipv6_only` of an IPv6 wildcard, cannot be changed on an open socket; a listener without a socket can only stay one.
    pub(crate) fn can_keep(&self, sockets: &ListenerSockets) -> bool {
        if self.has_socket() == sockets.acceptors.is_empty() {
            return false;
        }
        let wildcard = self.bind.addr.ip().is_unspecified() && self.bind.addr.is_ipv6();
        let changed = wildcard && self.bind.ipv6_only != sockets.bound.ipv6_only
            || self.bind.multipath != sockets.bound.multipath;
        !(changed && !sockets.taken && self.taken.is_none())
    }

    /// Applies the backlog, the options and the sharing of this description to open sockets.
    pub(crate) fn apply(&self, sockets: &mut ListenerSockets) -> io::Result<()> {
        for socket in &sockets.acceptors {
            let socket = SockRef::from(&**socket);
            if !sockets.taken {
                self.bind.listen(&socket)?;
            }
            self.apply_options(&socket)?;
        }
        if self.route.unix.is_some() {
            return Ok(());
        }
        sockets.set_shared(self.bind.reuse_port)
    }

    /// Opens a socket for each of `workers`. `port` replaces port 0 of the description. `beside` is that of
    /// [`BindConfig::open`].
    pub(crate) fn open(
        &self,
        workers: &[Arc<Worker>],
        port: u16,
        beside: bool,
    ) -> io::Result<ListenerSockets> {
        if !self.has_socket() {
            return Ok(ListenerSockets::none(self.bind));
        }
        if let Some(path) = &self.route.unix {
            return self.open_unix(path, workers);
        }
        let mut bound = self.bind;
        if bound.addr.port() == 0 {
            bound.addr.set_port(port);
        }
        let BoundSockets { listening, guard } = match &self.taken {
            Some(socket) => BoundSockets {
                listening: clones(socket, workers.len())?
                    .into_iter()
                    .map(TcpListener::from)
                    .collect(),
                guard: None,
            },
            None => bound.open(workers.len(), beside)?,
        };
        for socket in &listening {
            self.apply_options(&SockRef::from(socket))?;
        }
        bound.addr = listening[0].local_addr()?;
        if self.taken.is_some() {
            let socket = SockRef::from(&listening[0]);
            bound.reuse_port = socket.reuse_port()?;
            bound.multipath = is_multipath(&socket);
            bound.ipv6_only = bound.addr.is_ipv6() && socket.only_v6()?;
        }
        let transport = match bound.multipath {
            true => Transport::Multipath,
            false => Transport::Tcp,
        };
        let sockets = listening.into_iter().zip(workers);
        let acceptors = sockets.map(|(socket, worker)| worker.register(socket.into(), transport));
        Ok(ListenerSockets {
            bound,
            acceptors: acceptors.collect::<Result<_, _>>()?,
            guard,
            taken: self.taken.is_some(),
            file: None,
        })
    }

    /// Opens the unix socket at `path`, which the workers share.
    fn open_unix(&self, path: &Path, workers: &[Arc<Worker>]) -> io::Result<ListenerSockets> {
        let opened = match self.taken {
            Some(_) => None,
            None => Some(unix::listen(
                path,
                self.bind.backlog,
                self.mode,
                self.opener.as_ref(),
            )?),
        };
        let (own, file) = opened.unzip();
        let socket = own.as_ref().or(self.taken.as_ref());
        let socket = socket.expect("opened above, unless it was taken");
        self.apply_options(&SockRef::from(socket))?;
        let sockets = clones(socket, workers.len())?.into_iter().zip(workers);
        let acceptors = sockets.map(|(socket, worker)| worker.register(socket, Transport::Unix));
        Ok(ListenerSockets {
            bound: self.bind,
            acceptors: acceptors.collect::<Result<_, _>>()?,
            guard: None,
            taken: self.taken.is_some(),
            file,
        })
    }

    /// Sets the options that accepted connections inherit.
    fn apply_options(&self, socket: &SockRef<'_>) -> io::Result<()> {
        let options = &self.route.client_options;
        match self.route.unix {
            Some(_) => options.apply_to_unix(socket),
            None => options.apply(socket),
        }
    }
}

#[cfg(target_os = "linux")]
fn is_multipath(socket: &SockRef<'_>) -> bool {
    matches!(socket.protocol(), Ok(Some(socket2::Protocol::MPTCP)))
}

#[cfg(not(target_os = "linux"))]
const fn is_multipath(_: &SockRef<'_>) -> bool {
    false
}
