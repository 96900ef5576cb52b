//! Where connections come in and what happens to them.

pub(crate) mod accept_loop;
mod open;
pub(crate) mod running;
pub(crate) mod share;
mod socket;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{HalfClose, Retry, Splice, Timeouts};
use crate::error::BuildError;
use crate::hooks::Hooks;
use crate::limits::{Access, ClientZone, Limits};
use crate::net::bind_source::BindSource;
use crate::net::options::SocketOptions;
use crate::preread::Preread;
use crate::proxy_protocol::SendProxy;
use crate::upstream::Upstream;

pub(crate) use share::Held;
pub(crate) use socket::Listening;

/// An address to listen on and what happens to its connections.
#[derive(Debug)]
#[must_use]
pub struct Listener {
    listening: Listening,
    bound: Option<TcpListener>,
    limits: Limits,
    route: Route,
}

/// What every session of a listener needs.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) upstream: Upstream,
    pub(crate) client_options: SocketOptions,
    pub(crate) backend_options: SocketOptions,
    pub(crate) bind_source: BindSource,
    pub(crate) timeouts: Timeouts,
    pub(crate) splice: Splice,
    pub(crate) half_close: HalfClose,
    pub(crate) retry: Retry,
    pub(crate) no_backend: NoBackend,
    pub(crate) abandon_silent: bool,
    pub(crate) access: Option<Access>,
    pub(crate) zones: Vec<(ClientZone, NonZeroU32)>,
    pub(crate) hooks: Option<Arc<dyn Hooks>>,
    pub(crate) prereads: Vec<Arc<dyn Preread>>,
    pub(crate) preread_timeout: Duration,
    pub(crate) send_proxy: Option<SendProxy>,
    /// Whether TLVs of a header that is received may be passed on, by the listener or by any upstream of the proxy.
    pub(crate) passes_tlvs: bool,
}

/// What a client sees if there is no backend for it. To let it wait instead, give the upstream a
/// [`Queue`](crate::Queue).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NoBackend {
    /// An end without an answer, as nginx does. Looks like a short but complete answer to some protocols.
    Close,
    /// A reset.
    #[default]
    Reset,
}

impl Listener {
    /// Listens on `addr`, port 0 meaning any free one, and sends connections to `upstream`.
    pub fn new(addr: SocketAddr, upstream: &Upstream) -> Self {
        Self {
            listening: Listening {
                addr,
                backlog: 4096,
                ipv6_only: false,
                reuse_port: false,
            },
            bound: None,
            limits: Limits::default(),
            route: Route {
                upstream: upstream.clone(),
                client_options: SocketOptions::default(),
                backend_options: SocketOptions::default(),
                bind_source: BindSource::any(),
                timeouts: Timeouts::default(),
                splice: Splice::default(),
                half_close: HalfClose::default(),
                retry: Retry::default(),
                no_backend: NoBackend::default(),
                abandon_silent: true,
                access: None,
                zones: Vec::new(),
                hooks: None,
                prereads: Vec::new(),
                preread_timeout: Duration::from_secs(30),
                send_proxy: None,
                passes_tlvs: false,
            },
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
        taken.bound = Some(listener);
        Ok(taken)
    }

    /// Sets how many connections the kernel queues while they wait to be accepted. Default: 4096, which the kernel
    /// lowers to `net.core.somaxconn`. With workers, for each of them.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.listening.backlog = backlog;
        self
    }

    /// Sets whether an IPv6 wildcard leaves IPv4 alone. Default: no, `[::]` takes both.
    pub fn ipv6_only(mut self, ipv6_only: bool) -> Self {
        self.listening.ipv6_only = ipv6_only;
        self
    }

    /// Sets whether other processes may listen on the same address (`SO_REUSEPORT`). Default: no. Workers of one proxy
    /// share an address in any case; without this setting that costs one more descriptor, which keeps the address from
    /// other processes of the same user.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.listening.reuse_port = reuse_port;
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

    /// Sets what a client sees if there is no backend for it. Default: [`NoBackend::Reset`].
    pub fn no_backend(mut self, no_backend: NoBackend) -> Self {
        self.route.no_backend = no_backend;
        self
    }

    /// Sets whether a client that ended its side before it sent a byte counts as gone while it waits for a backend.
    /// Default: yes, since port probes and users who gave up look like that. Without it such a client is connected to
    /// a backend, which may have something to tell to somebody who has nothing to say. A reset is always noticed.
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

    /// Sets who is told about this listener's connections. Default: nobody.
    pub fn hooks(mut self, hooks: Arc<dyn Hooks>) -> Self {
        self.route.hooks = Some(hooks);
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

    /// Sets whether backends are told who the client is, by a PROXY protocol header before everything else. Default: no.
    /// They must be made to expect it, and to accept it from us alone. An upstream that has [a setting of its
    /// own](crate::UpstreamBuilder::send_proxy) goes by that.
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
        let of = || format!("the listener on {}", self.addr());
        sends.map_or(Ok(()), |send| send.check(of))
    }

    /// Keeps what headers tell if it passes on TLVs itself, or `upstreams` do.
    pub(crate) fn keep_tlvs(&mut self, upstreams: bool) {
        let sends = self.route.send_proxy.as_ref();
        self.route.passes_tlvs = upstreams || sends.is_some_and(SendProxy::passes_tlvs);
    }

    /// The upstream that its connections go to.
    pub(crate) const fn upstream(&self) -> &Upstream {
        &self.route.upstream
    }

    /// The address it is described with.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.listening.addr
    }

    pub(crate) fn into_parts(self) -> (Limits, Route) {
        (self.limits, self.route)
    }
}
