//! The description of a listener.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use lb_core::Endpoint;
use socket2::{SockRef, Socket};

use super::bind::BindConfig;
use super::inheritable::InheritableSockets;
use crate::error::BuildError;
use crate::limits::Limits;
use crate::net::unix::UnixSocketOpener;
use crate::state::route::Route;
use crate::state::virtual_servers::VirtualServers;
use crate::upstream::Upstream;

/// An address to listen on and what happens to its connections.
///
/// It is not `Clone`, because it may own sockets. Describe listeners that are alike in a function.
#[derive(Debug)]
#[must_use]
pub struct Listener {
    pub(super) bind: BindConfig,
    /// Whether it opens a socket of its own.
    pub(super) binds: bool,
    /// Sockets that are open already.
    pub(super) taken: Option<TakenSockets>,
    /// The permissions of the file of a unix socket.
    pub(super) mode: u32,
    /// What opens the unix socket, if not this process.
    pub(super) opener: Option<Arc<dyn UnixSocketOpener>>,
    pub(super) limits: Limits,
    pub(super) route: Route,
    pub(super) virtual_servers: VirtualServers,
}

/// Open sockets in a description: the first of `listening` always exists.
#[derive(Debug)]
pub(super) struct TakenSockets {
    pub(super) listening: Vec<OwnedFd>,
    /// See [`address_guard`](super::address_guard).
    pub(super) guard: Option<Socket>,
    /// Whether the embedder opened them, and not another process of this library.
    pub(super) is_external: bool,
}

impl TakenSockets {
    fn external(socket: impl Into<OwnedFd>) -> Self {
        Self {
            listening: vec![socket.into()],
            guard: None,
            is_external: true,
        }
    }
}

impl Listener {
    /// Listens on `addr`, port 0 meaning any free one, and sends connections to `upstream`.
    ///
    /// Of several listeners with one port the kernel chooses the one with the address that the client connects to before a
    /// wildcard.
    pub fn new(addr: SocketAddr, upstream: &Upstream) -> Self {
        Self {
            bind: BindConfig {
                addr,
                backlog: 4096,
                ipv6_only: false,
                reuse_port: false,
                multipath: false,
                freebind: false,
                fast_open: None,
            },
            binds: true,
            taken: None,
            mode: 0o666,
            opener: None,
            limits: Limits::default(),
            route: Route::new(upstream.clone()),
            virtual_servers: VirtualServers::new(),
        }
    }

    /// Takes a socket that listens already, for example one that was opened before privileges were given up, or that
    /// systemd passed on. Its address, backlog and sharing are left as they are. Workers share the one socket.
    ///
    /// # Errors
    ///
    /// If the socket cannot be asked for its address or made non-blocking.
    pub fn from_std(listener: TcpListener, upstream: &Upstream) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let mut taken = Self::new(listener.local_addr()?, upstream);
        taken.taken = Some(TakenSockets::external(listener));
        Ok(taken)
    }

    /// As [`from_std`](Self::from_std), for a socket of tokio: for example one that a program binds to port 0 to learn its address.
    ///
    /// # Errors
    ///
    /// If the socket cannot be asked for its address, or leaves its runtime in vain.
    pub fn from_tokio(listener: tokio::net::TcpListener, upstream: &Upstream) -> io::Result<Self> {
        Self::from_std(listener.into_std()?, upstream)
    }

    /// Takes over the sockets of a listener of another process, in the place of opening its own.
    ///
    /// The listener serves all of them, whatever the number of [workers](crate::Workers): a worker serves several, or shares
    /// one with others. The kernel spreads connections over the sockets, so with more workers than sockets their shares differ
    /// more. Backlog, sharing and [options](Self::client_options) of this description are applied when the server begins to
    /// accept; multipath TCP and `ipv6_only` stay those of the sockets.
    ///
    /// The file of a unix socket is left when the listener closes, until
    /// [`Handle::keep_socket_files`](crate::Handle::keep_socket_files) says that no other process serves it.
    ///
    /// # Errors
    ///
    /// If the sockets are of another address than the listener, or cannot be made non-blocking.
    pub fn inherit(mut self, sockets: InheritableSockets) -> io::Result<Self> {
        if sockets.addr() != self.addr() {
            let what = format!("the sockets are those of {sockets}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        for socket in sockets.descriptors() {
            SockRef::from(&socket).set_nonblocking(true)?;
        }
        self.taken = Some(TakenSockets {
            is_external: sockets.is_external(),
            listening: sockets.listening,
            guard: sockets.guard.map(Socket::from),
        });
        Ok(self)
    }

    /// Listens on the unix socket `path`. Workers share the one socket.
    ///
    /// As in nginx, there must be no file at `path`: one that a killed process has left has to be removed first. The file
    /// is made with the [mode](Self::mode) and removed when the listener is closed, by a reload or a shutdown.
    ///
    /// A unix socket has no address: the proxy knows the listener by the [key](Endpoint::unix_key) of its path. Its clients
    /// have none either, and count as one client: see [`Connection::client_endpoint`](crate::events::Connection::client_endpoint) and
    /// [`Access::allow_unix`](crate::access::Access::allow_unix). There is no reset, so a client whose stream is cut sees
    /// an end.
    pub fn unix(path: impl Into<Arc<Path>>, upstream: &Upstream) -> Self {
        let path = path.into();
        let mut listener = Self::new(Endpoint::unix_key(&path), upstream);
        listener.route.unix = Some(path);
        listener
    }

    /// Takes a unix socket that listens already on `path`, as [`from_std`](Self::from_std) takes a TCP socket. Its file
    /// stays when the listener is closed.
    ///
    /// # Errors
    ///
    /// If the socket cannot be made non-blocking.
    pub fn from_unix(
        listener: UnixListener,
        path: impl Into<Arc<Path>>,
        upstream: &Upstream,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let mut taken = Self::unix(path, upstream);
        taken.taken = Some(TakenSockets::external(listener));
        Ok(taken)
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let of = || format!("the listener on {}", self.endpoint());
        self.limits.check(of)?;
        self.routes().try_for_each(|route| route.check(of))?;
        self.virtual_servers.check(of)
    }

    /// Sessions keep what the first bytes contained if the listener has a reader of it, or one of the `upstreams` of the proxy.
    pub(crate) fn keep_preread(&mut self, upstreams: bool) {
        self.route.keeps_preread =
            upstreams || !self.virtual_servers.is_empty() || self.route.reads_preread();
    }

    /// The upstreams that it names.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        self.routes().flat_map(Route::upstreams)
    }

    /// Whether it has a socket of its own.
    pub(crate) const fn has_socket(&self) -> bool {
        self.binds || self.taken.is_some()
    }

    /// The settings of its sessions: its own, then those of its virtual servers.
    fn routes(&self) -> impl Iterator<Item = &Route> {
        std::iter::once(&self.route).chain(self.virtual_servers.routes())
    }

    /// What it is described with.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.route.endpoint(self.addr())
    }

    /// The address it is described with, or the key of its path.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.bind.addr
    }

    pub(crate) fn into_parts(self) -> (Limits, Route, VirtualServers) {
        (self.limits, self.route, self.virtual_servers)
    }
}
