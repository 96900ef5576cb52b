//! Listeners: the description, the sockets, the accept loop.

mod accept_loop;
pub(crate) mod address_guard;
pub(crate) mod bind;
mod open;
pub(crate) mod running;
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

use crate::config::{HalfClose, OnRefusal, Retry, Splice, Timeouts};
use crate::connection::Connection;
use crate::error::BuildError;
use crate::hooks::Hooks;
use crate::limits::{Access, ClientZone, Limits};
use crate::net::bind_source::BindSource;
use crate::net::options::SocketOptions;
use crate::preread::Preread;
use crate::proxy_protocol::SendProxy;
use crate::server_names::ServerNames;
use crate::session_data::SessionDataFactory;
use crate::state::route::Route;
use crate::state::route_function::RouteFunction;
use crate::upstream::Upstream;

use bind::BindConfig;

/// An address to listen on and what happens to its connections.
#[derive(Debug)]
#[must_use]
pub struct Listener {
    bind: BindConfig,
    /// A socket that the embedder has opened.
    taken: Option<OwnedFd>,
    /// The permissions of the file of a unix socket.
    mode: u32,
    limits: Limits,
    route: Route,
}

impl Listener {
    /// Listens on `addr`, port 0 meaning any free one, and sends connections to `upstream`.
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
            taken: None,
            mode: 0o666,
            limits: Limits::default(),
            route: Route::new(upstream.clone()),
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

    /// Sets how many connections the kernel queues while they wait to be accepted. Default: 4096, which the kernel
    /// lowers to `net.core.somaxconn`. With workers, for each of them.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.bind.backlog = backlog;
        self
    }

    /// Sets whether an IPv6 wildcard leaves IPv4 alone. Default: no, `[::]` takes both.
    pub fn ipv6_only(mut self, ipv6_only: bool) -> Self {
        self.bind.ipv6_only = ipv6_only;
        self
    }

    /// Sets whether other processes may listen on the same address (`SO_REUSEPORT`). Default: no. Workers of one proxy
    /// share an address in any case; without this setting that costs one more descriptor, which keeps the address from
    /// other processes of the same user.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.bind.reuse_port = reuse_port;
        self
    }

    /// Sets whether clients may use several paths at a time (multipath TCP, RFC 8684). Default: no. Other clients are
    /// served as with TCP. Linux alone has it, if it is built in and `net.mptcp.enabled` is 1; otherwise binding fails. A
    /// reload that changes it opens other sockets.
    #[doc(alias = "MPTCP")]
    pub fn multipath(mut self, multipath: bool) -> Self {
        self.bind.multipath = multipath;
        self
    }

    /// Sets how many connections with data in their first packet may wait for the end of their handshake (TCP fast open,
    /// RFC 7413). Default: the system's, on Linux none. The backends must bear to get the same request twice.
    #[doc(alias = "fastopen")]
    pub fn fast_open(mut self, queue: Option<u32>) -> Self {
        self.bind.fast_open = queue;
        self
    }

    /// Sets [`SocketOptions::nodelay`] for both sides.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.route.client_options.nodelay = nodelay;
        self.route.backend_options.nodelay = nodelay;
        self
    }

    /// Sets the options of connections from clients. They are set on the listening socket and inherited, which costs
    /// nothing for each connection. Default: [`SocketOptions::default`].
    pub fn client_options(mut self, options: SocketOptions) -> Self {
        self.route.client_options = options;
        self
    }

    /// Sets the options of connections to backends. Each that is set costs one system call for each connection.
    /// Default: [`SocketOptions::default`].
    pub fn backend_options(mut self, options: SocketOptions) -> Self {
        self.route.backend_options = options;
        self
    }

    /// Sets the source addresses and the interface of connections to backends. Default: [`BindSource::any`].
    pub fn bind_source(mut self, source: BindSource) -> Self {
        self.route.bind_source = source;
        self
    }

    /// Sets the time-outs of this listener's sessions. Default: [`Timeouts::default`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.route.timeouts = timeouts;
        self
    }

    /// Sets whether long transfers are spliced. Default: [`Splice::Auto`].
    pub fn splice(mut self, splice: Splice) -> Self {
        self.route.splice = splice;
        self
    }

    /// Sets what the end of one side means. Default: [`HalfClose::Allow`].
    pub fn half_close(mut self, half_close: HalfClose) -> Self {
        self.route.half_close = half_close;
        self
    }

    /// Sets when another backend is tried. Default: [`Retry::default`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.route.retry = retry;
        self
    }

    /// Sets how a client is closed that gets no service. Default: [`OnRefusal::Reset`].
    #[doc(alias = "on_no_backend")]
    pub fn on_refusal(mut self, on_refusal: OnRefusal) -> Self {
        self.route.on_refusal = on_refusal;
        self
    }

    /// Sets whether a client that ended its side before it sent a byte counts as gone while it waits for a backend.
    /// Default: yes, since port probes and cancelled requests look like that. Without it the session connects such a
    /// client to a backend, for protocols in which only the backend sends. A reset always ends the wait.
    #[doc(alias = "abortonclose")]
    pub fn abandon_silent(mut self, abandon_silent: bool) -> Self {
        self.route.abandon_silent = abandon_silent;
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
        self.route.zones.push((zone.clone(), sessions));
        self
    }

    /// Sets the observer of this listener's connections. Default: none.
    pub fn hooks(mut self, hooks: Arc<dyn Hooks>) -> Self {
        self.route.hooks = Some(hooks);
        self
    }

    /// Sets a function that creates data of the embedder for each session, which hooks, routes and keys find in
    /// [`Connection::data`]. It runs once for each connection as soon as it is accepted, in the accept loop, so it must
    /// not block. All copies of the connection share the data, which is dropped with the session. Default: none.
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

    /// Sets which upstreams serve the names that clients ask for in TLS (SNI). A listener without a
    /// [`ClientHelloReader`](crate::client_hello::ClientHelloReader) learns no names. All other connections go to the
    /// listener's upstream. One look-up for each session. Default: none.
    #[doc(alias = "ssl_preread", alias = "filter_chain_match")]
    pub fn server_names(mut self, upstreams: ServerNames<Upstream>) -> Self {
        self.route.server_names = Some(Arc::new(upstreams));
        self
    }

    /// Sets a function that chooses the upstream, for what [server names](Self::server_names) cannot say. It runs once
    /// for each session, after the prereads, on the session's task, so it must not block. `None` leaves the choice to the
    /// server names and the prereads. An upstream that no listener names must be made known with
    /// [`ProxyBuilder::upstream`](crate::ProxyBuilder::upstream). Default: no function.
    #[doc(alias = "use_backend")]
    pub fn route(
        mut self,
        choose: impl Fn(&Connection) -> Option<Upstream> + Send + Sync + 'static,
    ) -> Self {
        self.route.function = Some(RouteFunction::new(choose));
        self
    }

    /// Sets how long the bytes that a [preread](Self::preread) wants may take, where it has no time-out of its own.
    /// Default: 30 s, as nginx's `preread_timeout`.
    pub fn preread_timeout(mut self, timeout: Duration) -> Self {
        self.route.preread_timeout = timeout;
        self
    }

    /// Sets whether a session sends its backend the client's address, by a PROXY protocol header before everything else.
    /// Default: no. Configure the backends to expect the header, and to accept it from this proxy alone. [A setting of the
    /// upstream](crate::UpstreamBuilder::send_proxy) overrides this one.
    #[doc(alias = "proxy_protocol", alias = "send-proxy")]
    pub fn send_proxy(mut self, send: SendProxy) -> Self {
        self.route.send_proxy = Some(send);
        self
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let Timeouts {
            connect,
            idle,
            half_closed,
            first_byte,
            max_age,
            max_age_jitter: _,
        } = self.route.timeouts;
        let timeouts = [
            ("connect", Some(connect)),
            ("half-closed", half_closed),
            ("idle", idle),
            ("first-byte", first_byte),
            ("maximum-age", max_age),
            ("preread", Some(self.route.preread_timeout)),
            ("retry deadline", self.route.retry.deadline),
        ];
        let prereads = self.route.prereads.iter();
        let of_prereads = prereads.map(|preread| ("preread", preread.timeout()));
        let mut timeouts = timeouts.into_iter().chain(of_prereads);
        if let Some((timeout, _)) = timeouts.find(|(_, t)| *t == Some(Duration::ZERO)) {
            return Err(BuildError::ZeroTimeout { timeout });
        }
        let sends = self.route.send_proxy.as_ref();
        let of = || format!("the listener on {}", self.endpoint());
        sends.map_or(Ok(()), |send| send.check(of))
    }

    /// Sessions keep what the first bytes told if the listener has a reader of it, or one of the `upstreams` of the proxy.
    pub(crate) fn keep_preread(&mut self, upstreams: bool) {
        let Route {
            hooks,
            function,
            send_proxy,
            bind_source,
            ..
        } = &self.route;
        let sends = send_proxy.as_ref().is_some_and(SendProxy::passes_tlvs);
        let computes = function.is_some() || bind_source.is_computed();
        self.route.keeps_preread = upstreams || hooks.is_some() || computes || sends;
    }

    /// The upstreams that it names.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        let names = self.route.server_names.iter();
        std::iter::once(&self.route.upstream).chain(names.flat_map(|table| table.values()))
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

    pub(crate) fn into_parts(self) -> (Limits, Route) {
        (self.limits, self.route)
    }
}
