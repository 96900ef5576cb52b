//! Opens the sockets of a described listener, and applies a changed description to open sockets.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use socket2::{SockRef, Socket};

use super::bind::{BindConfig, BoundSockets, for_workers};
use super::description::Listener;
use super::sockets::{ListenerSockets, apply_options};
use crate::net::stream::Transport;
use crate::net::unix::{self, SocketAccess, SocketFile};
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
        sockets.unsettled = None;
        for socket in &sockets.acceptors[..sockets.distinct] {
            let socket = SockRef::from(&**socket);
            if !sockets.taken {
                self.bind.listen(&socket)?;
            }
            apply_options(&self.route, &socket)?;
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
        let distinct = self.distinct_sockets(workers.len());
        let BoundSockets { listening, guard } = match &self.taken {
            Some(taken) => BoundSockets {
                listening: for_workers(&taken.listening, workers.len())?
                    .into_iter()
                    .map(TcpListener::from)
                    .collect(),
                guard: taken.guard.as_ref().map(Socket::try_clone).transpose()?,
            },
            None => bound.open(workers.len(), beside)?,
        };
        if !self.is_inherited() {
            for socket in &listening {
                apply_options(&self.route, &SockRef::from(socket))?;
            }
        }
        bound.addr = listening[0].local_addr()?;
        if self.taken.is_some() {
            let socket = SockRef::from(&listening[0]);
            // Guarded sockets share the address among themselves only.
            bound.reuse_port = guard.is_none() && socket.reuse_port()?;
            bound.multipath = is_multipath(&socket);
            bound.ipv6_only = bound.addr.is_ipv6() && socket.only_v6()?;
        }
        let transport = match bound.multipath {
            true => Transport::Multipath,
            false => Transport::Tcp,
        };
        let sockets = listening.into_iter().zip(workers.iter().cycle());
        let acceptors = sockets.map(|(socket, worker)| worker.register(socket.into(), transport));
        Ok(ListenerSockets {
            bound,
            acceptors: acceptors.collect::<Result<_, _>>()?,
            distinct,
            guard,
            taken: self.is_external(),
            unsettled: self.is_inherited().then_some(self.bind),
            file: None,
        })
    }

    /// Opens the unix socket at `path`, which the workers share.
    fn open_unix(&self, path: &Path, workers: &[Arc<Worker>]) -> io::Result<ListenerSockets> {
        let opener = self.opener.as_ref();
        let (opened, file) = match &self.taken {
            None => {
                let access = SocketAccess::of_mode(self.mode);
                let opened = unix::listen(path, self.bind.backlog, access, opener)?;
                apply_options(&self.route, &SockRef::from(&opened.0))?;
                (vec![opened.0], Some(opened.1))
            }
            Some(taken) if taken.is_external => {
                apply_options(&self.route, &SockRef::from(&taken.listening[0]))?;
                (Vec::new(), None)
            }
            Some(_) => (Vec::new(), Some(SocketFile::inherit(path, opener))),
        };
        let open = match &self.taken {
            Some(taken) => &taken.listening,
            None => &opened,
        };
        let sockets = for_workers(open, workers.len())?.into_iter();
        let sockets = sockets.zip(workers.iter().cycle());
        let acceptors = sockets.map(|(socket, worker)| worker.register(socket, Transport::Unix));
        Ok(ListenerSockets {
            bound: self.bind,
            acceptors: acceptors.collect::<Result<_, _>>()?,
            distinct: open.len(),
            guard: None,
            taken: self.is_external(),
            unsettled: self.is_inherited().then_some(self.bind),
            file,
        })
    }

    /// How many sockets a server with `workers` workers has for it, clones of one socket not counted.
    fn distinct_sockets(&self, workers: usize) -> usize {
        self.taken
            .as_ref()
            .map_or(workers, |taken| taken.listening.len())
    }

    /// Whether the embedder opened its socket.
    fn is_external(&self) -> bool {
        self.taken.as_ref().is_some_and(|taken| taken.is_external)
    }

    /// Whether another process of this library opened its sockets.
    fn is_inherited(&self) -> bool {
        self.taken.as_ref().is_some_and(|taken| !taken.is_external)
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
