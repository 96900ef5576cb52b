//! Listeners: the description, the sockets, the accept loop.

mod accept_loop;
pub(crate) mod address_guard;
pub(crate) mod bind;
pub(crate) mod covered;
mod open;
pub(crate) mod running;
mod session_settings;
mod socket_settings;
pub(crate) mod sockets;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lb_core::Endpoint;

use crate::connection::Connection;
use crate::error::BuildError;
use crate::limits::client_limit::ClientLimit;
use crate::limits::{Access, ClientZone, Limits};
use crate::net::unix::UnixSocketOpener;
use crate::preread::Preread;
use crate::session_data::SessionDataFactory;
use crate::state::route::Route;
use crate::state::virtual_servers::VirtualServers;
use crate::upstream::Upstream;
use crate::upstream::key_part::{KeyPart, KeyParts};

use bind::BindConfig;

/// An address to listen on and what happens to its connections.
#[derive(Debug)]
#[must_use]
pub struct Listener {
    bind: BindConfig,
    /// Whether it opens a socket of its own.
    binds: bool,
    /// A socket that the embedder has opened.
    taken: Option<OwnedFd>,
    /// The permissions of the file of a unix socket.
    mode: u32,
    /// What opens the unix socket, if not this process.
    opener: Option<Arc<dyn UnixSocketOpener>>,
    limits: Limits,
    route: Route,
    virtual_servers: VirtualServers,
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
        taken.taken = Some(listener.into());
        Ok(taken)
    }

    /// Listens on the unix socket `path`. Workers share the one socket.
    ///
    /// As in nginx, there must be no file at `path`: one that a killed process has left has to be removed first. The file
    /// is made with the [mode](Self::mode) and removed when the listener is closed, by a reload or a shutdown.
    ///
    /// A unix socket has no address: the proxy knows the listener by the [key](Endpoint::unix_key) of its path. Its clients
    /// have none either, and count as one client: see [`Connection::client_endpoint`] and
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
        taken.taken = Some(listener.into());
        Ok(taken)
    }

    /// Sets the permissions of the file that [`unix`](Self::unix) makes. Default: 0o666, as in nginx: the permissions of the
    /// directory decide which programs reach it.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Sets what opens the socket of [`unix`](Self::unix) and removes its file. Default: this process.
    pub fn opener(mut self, opener: Arc<dyn UnixSocketOpener>) -> Self {
        self.opener = Some(opener);
        self
    }

    /// Limits this listener's sessions, all workers together. Default: no limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets which clients are served. Default: all.
    pub fn access(mut self, access: Access) -> Self {
        self.route.access = Some(access);
        self
    }

    /// Counts clients in `zone` and lets each have at most `sessions` of those that the zone counts at a time, besides
    /// keeping to the zone's rate. May be called for several zones, all of which must agree. Default: no limit.
    #[doc(alias = "limit_conn")]
    pub fn limit_clients(mut self, zone: &ClientZone, sessions: NonZeroU32) -> Self {
        self.route.limits.push(ClientLimit {
            zone: zone.clone(),
            key: None,
            sessions,
        });
        self
    }

    /// The same for clients that are known by the parts of a key, such as the port that they connected to, or what a function
    /// returns. Sessions with an empty key are not counted. The limits apply before first bytes are read, or right
    /// after the last reader of them that names the client, so a server name is empty unless its reader is in front of that
    /// one.
    pub fn limit_keys(
        mut self,
        zone: &ClientZone,
        key: impl IntoIterator<Item = KeyPart>,
        sessions: NonZeroU32,
    ) -> Self {
        self.route.limits.push(ClientLimit {
            zone: zone.clone(),
            key: Some(KeyParts::new(key)),
            sessions,
        });
        self
    }

    /// Sets whether the limits of each client are only observed: a session over a limit is served and not counted, and
    /// [`Hooks::would_refuse`](crate::Hooks::would_refuse) is called. Default: no.
    #[doc(alias = "limit_conn_dry_run")]
    pub fn limit_dry_run(mut self, dry_run: bool) -> Self {
        self.route.limit_dry_run = dry_run;
        self
    }

    /// Sets how long sessions may go on after a reload has removed this listener. Those that are open then are cut as by a
    /// shutdown, with the reason [`Aborted`](crate::events::CloseReason::Aborted). Default: no limit. A session of a listener
    /// with a limit takes some 100 bytes more.
    pub fn removal_deadline(mut self, deadline: Option<Duration>) -> Self {
        self.route.removal_deadline = deadline;
        self
    }

    /// Sets a function that creates data of the embedder for each session, which hooks, routes and keys find in
    /// [`Connection::data`]. It runs once for each connection, before the first of them reads it, on the session's task, so
    /// it must not block. With hooks that observe all sessions, or a preread, that is right after the session has begun. All
    /// copies of the connection share the data, which is dropped with the session. For a connection that another listener has [passed on](crate::routing::RouteAction::Pass) the function finds the data of that listener in
    /// the connection. Default: none.
    pub fn session_data<T: Send + Sync + 'static>(
        mut self,
        create: impl Fn(&Connection) -> T + Send + Sync + 'static,
    ) -> Self {
        self.route.session_data = Some(SessionDataFactory::new(create));
        self
    }

    /// Adds a reader of the first bytes. The first is served first; what it leaves is the next one's.
    pub fn preread(mut self, preread: Arc<dyn Preread>) -> Self {
        self.route.prereads.push(preread);
        self
    }

    /// Sets how long the bytes that a [preread](Self::preread) wants may take, where it has no time-out of its own.
    /// Default: 30 s, as nginx's `preread_timeout`.
    pub fn preread_timeout(mut self, timeout: Duration) -> Self {
        self.route.preread_timeout = timeout;
        self
    }

    /// Sets the virtual servers: settings of sessions for the names that clients ask for. A connection that asks for none
    /// of them has the settings of the listener, which is the default server. A listener without virtual servers pays
    /// one branch. Default: none.
    #[doc(alias = "server_name")]
    pub fn virtual_servers(mut self, servers: VirtualServers) -> Self {
        self.virtual_servers = servers;
        self
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let of = || format!("the listener on {}", self.endpoint());
        self.routes().try_for_each(|route| route.check(of))
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
        match &self.route.unix {
            Some(path) => Endpoint::Unix(Arc::clone(path)),
            None => Endpoint::Tcp(self.addr()),
        }
    }

    /// The address it is described with, or the key of its path.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.bind.addr
    }

    pub(crate) fn into_parts(self) -> (Limits, Route, VirtualServers) {
        (self.limits, self.route, self.virtual_servers)
    }
}
