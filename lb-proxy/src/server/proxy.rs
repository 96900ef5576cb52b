//! The description of a proxy.

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::pre_stop::PreStopHook;
use super::worker_pool::Workers;
use crate::error::BuildError;
use crate::limits::Limits;
use crate::listener::Listener;
use crate::listener::covered::wildcard_of;
use crate::saved_state::SavedState;
use crate::upstream::Upstream;

/// The descriptors that the runtime of a worker needs besides its listening sockets.
const DESCRIPTORS_OF_WORKER: u64 = 4;

/// A TCP proxy with checked settings.
///
/// Nothing is opened before [`bind`](Self::bind). A [`reload`](crate::Handle::reload) gives it to a running server instead.
#[derive(Debug)]
pub struct Proxy {
    pub(super) listeners: Vec<Listener>,
    upstreams: Vec<Upstream>,
    pub(super) workers: Workers,
    pub(super) limits: Limits,
    pub(super) tracks_sessions: bool,
    pub(super) orphan_timeout: Option<Duration>,
    reserve: u64,
    pub(super) bind_timeout: Duration,
    pub(super) shutdown: ShutdownConfig,
    pub(super) detailed_metrics: bool,
    needs_listener: bool,
}

/// How a server shuts down.
#[derive(Clone, Debug)]
pub(crate) struct ShutdownConfig {
    pub(crate) pre_stop_delay: Duration,
    pub(crate) pre_stop_hook: Option<PreStopHook>,
    pub(crate) drain_timeout: Option<Duration>,
    pub(crate) close_spread: Duration,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self {
            pre_stop_delay: Duration::ZERO,
            pre_stop_hook: None,
            drain_timeout: Some(Duration::from_secs(30)),
            close_spread: Duration::ZERO,
        }
    }
}

impl Proxy {
    /// Starts the description of a proxy.
    pub fn builder() -> ProxyBuilder {
        ProxyBuilder {
            proxy: Self {
                listeners: Vec::new(),
                upstreams: Vec::new(),
                workers: Workers::default(),
                limits: Limits::default(),
                tracks_sessions: false,
                orphan_timeout: None,
                reserve: 32,
                bind_timeout: Duration::from_millis(2500),
                shutdown: ShutdownConfig::default(),
                detailed_metrics: false,
                needs_listener: true,
            },
        }
    }

    /// Lets the upstreams begin with what another process knew, before the proxy is [bound](Self::bind). Upstreams are found by
    /// their names, sources by their [identities](lb_discovery::Source::identity), backends by their addresses and instances; what is
    /// not found is dropped.
    ///
    /// An upstream whose sources all have a set then, or answer without waiting, serves at once. Each set is replaced by the first answer
    /// of its source. [`SourceStatus::is_restored`](lb_discovery::SourceStatus::is_restored) shows those that are not. Backends keep
    /// the rest of their ejections and of their slow start. Their health is taken by upstreams with active
    /// [checks](crate::UpstreamBuilder::health_check) only.
    ///
    /// Upstreams that a server follows already keep what they have, and so does a [reload](crate::Handle::reload).
    /// Returns how many upstreams took a set.
    pub fn restore(&self, mut state: SavedState) -> usize {
        let now = SystemTime::now();
        let upstreams = self.all_upstreams();
        let restored = upstreams.iter().filter(|upstream| {
            let saved = state.take(upstream.name(), now);
            saved.is_some_and(|saved| upstream.restore(saved))
        });
        restored.count()
    }

    /// Checks that a socket accepts the connections of each listener without one.
    fn check_covered(&self) -> Result<(), BuildError> {
        let (bound, unbound): (Vec<_>, Vec<_>) = self
            .listeners
            .iter()
            .partition(|listener| listener.has_socket());
        for listener in unbound {
            let configs = bound.iter().map(|listener| listener.bind_config());
            // A socket of port 0 has another port in the end.
            let is_covered = listener.addr().port() != 0
                && wildcard_of(listener.addr(), configs.enumerate()).is_some();
            if !is_covered {
                let addr = listener.endpoint();
                return Err(BuildError::NoWildcard { addr });
            }
        }
        Ok(())
    }

    /// How many descriptors everything but sessions and listening sockets takes, with this number of workers.
    pub(super) const fn reserve_with(&self, workers: usize) -> u64 {
        self.reserve + DESCRIPTORS_OF_WORKER * workers as u64
    }

    /// Every upstream that the proxy names, once.
    pub(super) fn all_upstreams(&self) -> Vec<Upstream> {
        let mut seen = HashSet::new();
        let first = |upstream: &&Upstream| seen.insert(upstream.id());
        self.named_upstreams().filter(first).cloned().collect()
    }

    /// Every upstream as often as it is named.
    fn named_upstreams(&self) -> impl Iterator<Item = &Upstream> {
        let listeners = self.listeners.iter().flat_map(Listener::upstreams);
        listeners.chain(&self.upstreams)
    }
}

/// Describes a [`Proxy`].
///
/// It is not `Clone`, because its [listeners](Listener) may own sockets: a reload describes the proxy again.
#[derive(Debug)]
#[must_use]
pub struct ProxyBuilder {
    proxy: Proxy,
}

impl ProxyBuilder {
    /// Listens on `addr` for connections to `upstream`, everything else at its default.
    pub fn listen(self, addr: SocketAddr, upstream: &Upstream) -> Self {
        self.listener(Listener::new(addr, upstream))
    }

    /// Adds a listener with settings of its own.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.proxy.listeners.push(listener);
        self
    }

    /// Follows the sources of an upstream that no listener names, because a [route function](Listener::route) or a
    /// [`Preread`](crate::first_bytes::Preread) chooses it.
    pub fn upstream(mut self, upstream: &Upstream) -> Self {
        self.proxy.upstreams.push(upstream.clone());
        self
    }

    /// Sets whether the proxy may have no listener, because reloads add and remove them: without listeners a server
    /// waits, and its remaining sessions go on. Default: no, since a proxy without a listener is mostly a mistake.
    pub fn may_be_empty(mut self, may_be_empty: bool) -> Self {
        self.proxy.needs_listener = !may_be_empty;
        self
    }

    /// Sets where sessions run. Default: [`Workers::CurrentRuntime`].
    pub fn workers(mut self, workers: Workers) -> Self {
        self.proxy.workers = workers;
        self
    }

    /// Limits the sessions of all listeners together. Default: no limits except the
    /// [descriptors](crate::Server::descriptors) of the process.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.proxy.limits = limits;
        self
    }

    /// Sets whether connections are also counted by listener, upstream and backend:
    /// [`Handle::detailed_metrics`](crate::Handle::detailed_metrics). Default: no. A
    /// reload that says yes begins to count: sessions that were accepted before are not counted. It then counts until the end
    /// of the server, whatever later reloads say.
    ///
    /// With yes, a session costs four small allocations and some twenty additions to memory of its worker, and each chunk
    /// of bytes two more additions. A listener takes 256 bytes a worker, an upstream 640 bytes a worker, a backend 0.3 KiB.
    /// `benches/README.md` of the repository has figures.
    pub fn detailed_metrics(mut self, detailed: bool) -> Self {
        self.proxy.detailed_metrics = detailed;
        self
    }

    /// Sets whether [`Handle::sessions`](crate::Handle::sessions) lists live sessions and
    /// [`Handle::close_sessions`](crate::Handle::close_sessions) closes them. Default: no, which costs a session one branch.
    /// A reload may change it: sessions that have begun before are not listed, and listed ones stay so until their end.
    ///
    /// A tracked session takes about 1 KiB more, and three atomic operations more for each write of its relay.
    pub fn track_sessions(mut self, tracks: bool) -> Self {
        self.proxy.tracks_sessions = tracks;
        self
    }

    /// Sets how long sessions outlast the local address that their clients connected to, once
    /// [`Handle::note_address_lost`](crate::Handle::note_address_lost) has reported its loss. Default: `None`, until a time-out
    /// of their own. A reload may change it. An idle session costs nothing more.
    ///
    /// The kernel can send nothing from an address that it does not have, so such a session is an orphan: neither end of the
    /// connection learns that the other one is out of reach. With a time, the session ends that long after the loss with
    /// [`CloseReason::AddressLost`](crate::events::CloseReason::AddressLost): the backend gets what the client has sent, and is
    /// reset. If the address returns before, the session goes on.
    #[doc(alias = "lb_orphan_timeout")]
    pub fn orphan_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.proxy.orphan_timeout = timeout;
        self
    }

    /// Sets how many descriptors are reserved for everything but sessions: discovery, logs, and what else the process
    /// opens after the proxy is bound. Default: 32. Four for each worker come on top.
    pub fn reserve_descriptors(mut self, reserve: u32) -> Self {
        self.proxy.reserve = reserve.into();
        self
    }

    /// Sets for how long [`Proxy::bind`] and a [reload](crate::Handle::reload) retry an address in use, because the previous
    /// process may still hold it. Default: 2.5 s, as nginx. With zero they fail at once. A listener with
    /// [`reuse_port`](Listener::reuse_port) is retried for a fifth of that time, because the previous process would share
    /// the address.
    pub fn bind_timeout(mut self, timeout: Duration) -> Self {
        self.proxy.bind_timeout = timeout;
        self
    }

    /// Sets how long a shutdown waits for open sessions to end by themselves. Default: 30 s, the grace period of a
    /// Kubernetes pod. `None` waits without limit.
    #[doc(alias = "worker_shutdown_timeout", alias = "hard-stop-after")]
    pub fn drain_timeout(mut self, drain_timeout: Option<Duration>) -> Self {
        self.proxy.shutdown.drain_timeout = drain_timeout;
        self
    }

    /// Sets for how long a shutdown goes on accepting after [`Handle::is_ready`](crate::Handle::is_ready) has become
    /// false. Default: zero. The systems that send connections here need some seconds to notice: in Kubernetes the period of
    /// the readiness probe, in DNS the time to live.
    #[doc(alias = "preStop")]
    pub fn pre_stop_delay(mut self, delay: Duration) -> Self {
        self.proxy.shutdown.pre_stop_delay = delay;
        self
    }

    /// Sets a function that a shutdown calls once [`Handle::is_ready`](crate::Handle::is_ready) has become false: it goes on
    /// accepting until the future of the function completes, and at least for the [`pre_stop_delay`](Self::pre_stop_delay).
    /// For a program that withdraws a route or an address and knows when that is done. Default: none.
    ///
    /// The future runs in the task of [`Server::run`](crate::Server::run). [`Handle::abort`](crate::Handle::abort) drops it.
    /// It has no time limit, so the function sets one if it needs one.
    #[doc(alias = "preStop")]
    pub fn pre_stop_hook<F: Future<Output = ()> + Send + 'static>(
        mut self,
        hook: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        self.proxy.shutdown.pre_stop_hook = Some(PreStopHook::new(hook));
        self
    }

    /// Sets the time over which a shutdown resets the sessions that outlast the [drain](Self::drain_timeout), in 64 steps,
    /// so that their clients do not reconnect elsewhere all at once. Default: zero, all at once.
    pub fn close_spread(mut self, spread: Duration) -> Self {
        self.proxy.shutdown.close_spread = spread;
        self
    }

    /// Checks the description.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoListener`] without a listener, unless it [may be empty](Self::may_be_empty), [`BuildError::NoWildcard`] for a listener without a socket whose address no
    /// other listener covers, [`BuildError::Zero`], [`BuildError::ZeroTimeout`] and [`BuildError::SendProxy`] for settings
    /// that cannot work. [`BuildError::Panicked`] if hooks or a preread panic when they are asked what they read, and for how long.
    pub fn build(self) -> Result<Proxy, BuildError> {
        BuildError::catch("ProxyBuilder::build", || self.try_build())
    }

    fn try_build(mut self) -> Result<Proxy, BuildError> {
        if self.proxy.needs_listener && self.proxy.listeners.is_empty() {
            return Err(BuildError::NoListener);
        }
        if self.proxy.workers == Workers::Threads(0) {
            return Err(BuildError::zero(
                "the proxy",
                "the number of worker threads",
            ));
        }
        self.proxy.limits.check(|| "the proxy".to_owned())?;
        self.proxy.listeners.iter().try_for_each(Listener::check)?;
        self.proxy.check_covered()?;
        let needs_preread =
            self.proxy.tracks_sessions || self.proxy.named_upstreams().any(Upstream::needs_preread);
        for listener in &mut self.proxy.listeners {
            listener.keep_preread(needs_preread);
        }
        Ok(self.proxy)
    }
}
