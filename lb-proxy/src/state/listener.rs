//! State that the accept loops and the sessions of one listener share: its route and its limits.

use std::fmt::Display;
use std::iter::once;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{Endpoint, Timestamp};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::proxy::ProxyState;
use super::route::Route;
use super::trackers::Trackers;
use super::virtual_servers::{ChosenBy, ServerSelector, VirtualServers};
use crate::connection::Connection;
use crate::failures::kind::{AcceptPause, Failure, FailureEvent};
use crate::limits::limiter::Limiter;
use crate::limits::rate::TokenBucket;
use crate::limits::session_limit::SessionLimit;
use crate::limits::{Excess, Limits};
use crate::metrics::ListenerCounters;

/// How often a pause of accepting is reported while it lasts.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The state of one listener. A reload makes a new one; open sessions keep theirs.
#[derive(Debug)]
pub(crate) struct ListenerState {
    /// The address, or the key of a unix socket's path.
    pub(crate) addr: SocketAddr,
    pub(crate) route: Route,
    virtual_servers: Option<Box<VirtualServerStates>>,
    proxy: Arc<ProxyState>,
    limiter: Limiter,
    /// The counters of the listener, if the proxy counts in detail.
    counters: Option<Arc<ListenerCounters>>,
    /// Cancelled when the sessions of a listener that was removed have to end.
    removed: CancellationToken,
}

/// The virtual servers of a listener, each a listener without limits.
#[derive(Debug)]
struct VirtualServerStates {
    selector: ServerSelector,
    states: Vec<Arc<ListenerState>>,
}

impl ListenerState {
    pub(crate) fn new(
        addr: SocketAddr,
        route: Route,
        servers: VirtualServers,
        limits: Limits,
        proxy: &Arc<ProxyState>,
    ) -> Arc<Self> {
        let removed = CancellationToken::new();
        Self::with_limiter(addr, route, servers, Limiter::new(limits), proxy, &removed)
    }

    /// Whether [`with_route`](Self::with_route) would change nothing. It says no to virtual servers, which are not compared.
    pub(crate) fn is_same_as(
        &self,
        route: &Route,
        servers: &VirtualServers,
        limits: Limits,
        proxy: &Arc<ProxyState>,
    ) -> bool {
        let counts = proxy.trackers.detailed().is_some();
        Arc::ptr_eq(&self.proxy, proxy)
            && self.counters.is_some() == counts
            && self.limiter.limits() == limits
            && self.virtual_servers.is_none()
            && servers.is_empty()
            && self.route.is_same_as(route)
    }

    /// This state with another route and other limits. The limits go on counting the open sessions.
    pub(crate) fn with_route(
        &self,
        route: Route,
        servers: VirtualServers,
        limits: Limits,
        proxy: &Arc<ProxyState>,
    ) -> Arc<Self> {
        let limiter = self.limiter.with_limits(limits);
        Self::with_limiter(self.addr, route, servers, limiter, proxy, &self.removed)
    }

    fn with_limiter(
        addr: SocketAddr,
        route: Route,
        servers: VirtualServers,
        limiter: Limiter,
        proxy: &Arc<ProxyState>,
        removed: &CancellationToken,
    ) -> Arc<Self> {
        let listening = route.endpoint(addr);
        let detailed = proxy.trackers.detailed();
        let counters = detailed.map(|detailed| detailed.listener(listening));
        let state = |route, virtual_servers, limiter| {
            Arc::new(Self {
                addr,
                route,
                virtual_servers,
                proxy: Arc::clone(proxy),
                limiter,
                counters: counters.clone(),
                removed: removed.clone(),
            })
        };
        let is_used = !servers.is_empty();
        let VirtualServers {
            selector, servers, ..
        } = servers;
        let states = servers.into_iter();
        let states: Vec<_> = states
            .map(|mut own| {
                own.unix.clone_from(&route.unix);
                own.removal_deadline = route.removal_deadline;
                state(own, None, Limiter::new(Limits::default()))
            })
            .collect();
        let servers = is_used.then(|| Box::new(VirtualServerStates { selector, states }));
        state(route, servers, limiter)
    }

    /// The virtual server of a connection that asks for `name`. `None` is this listener. A virtual server has none itself.
    pub(crate) fn virtual_server(
        &self,
        name: Option<&str>,
        connection: impl FnOnce() -> Connection,
    ) -> Option<&Arc<Self>> {
        self.choose_virtual_server(name, connection)?.0
    }

    /// [`virtual_server`](Self::virtual_server), and what chose it. `None` without virtual servers.
    pub(crate) fn choose_virtual_server(
        &self,
        name: Option<&str>,
        connection: impl FnOnce() -> Connection,
    ) -> Option<(Option<&Arc<Self>>, ChosenBy)> {
        let servers = self.virtual_servers.as_ref()?;
        let (number, by) = servers.selector.choose(name, connection);
        Some((number.and_then(|number| servers.states.get(number)), by))
    }

    /// Cancelled when the sessions of a removed listener have to end. `None` if they never have to.
    pub(crate) fn removed(&self) -> Option<CancellationToken> {
        let ends = self.route.removal_deadline.is_some();
        ends.then(|| self.removed.clone())
    }

    /// Ends the open sessions when the time passes that they may go on after the removal of the listener.
    pub(crate) fn remove(&self) {
        if let Some(deadline) = self.route.removal_deadline {
            let removed = self.removed.clone();
            tokio::spawn(async move {
                sleep(deadline).await;
                removed.cancel();
            });
        }
    }

    /// What it listens on.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.route.endpoint(self.addr)
    }

    /// Its counters, if the proxy counts in detail.
    pub(crate) const fn counters(&self) -> Option<&Arc<ListenerCounters>> {
        self.counters.as_ref()
    }

    /// The limits on open sessions in the order in which a session acquires them: descriptors, proxy, listener.
    pub(crate) fn session_limits(&self) -> impl Iterator<Item = (&SessionLimit, Excess)> {
        let descriptors = (&*self.proxy.descriptors, Excess::Wait);
        let limits = [&self.proxy.limiter, &self.limiter];
        once(descriptors).chain(limits.into_iter().filter_map(Limiter::session_limit))
    }

    /// The limits on the rate of new connections: proxy, listener.
    pub(super) fn rate_limits(&self) -> impl Iterator<Item = (&TokenBucket, Excess)> {
        let limits = [&self.proxy.limiter, &self.limiter];
        limits.into_iter().filter_map(Limiter::rate_limit)
    }

    /// How many of the limits on open sessions and on rates are not the listener's own.
    pub(super) fn shared_limits(&self) -> (usize, usize) {
        let proxy = &self.proxy.limiter;
        let sessions = 1 + usize::from(proxy.sessions.is_some());
        (sessions, usize::from(proxy.rate.is_some()))
    }

    pub(crate) fn trackers(&self) -> &Trackers {
        &self.proxy.trackers
    }

    /// Waits until `limit` admits sessions. Reports every minute that connections may be waiting.
    pub(crate) async fn wait_for(&self, limit: &SessionLimit) {
        if limit.is_reached() {
            self.count_pause(AcceptPause::Sessions);
        }
        while limit.is_reached() {
            let error = format!("the limit is {}", limit.max());
            self.report_pause(AcceptPause::Sessions, Some(&error));
            // When the time is over, the loop reports again. Otherwise it reads the limit again.
            let _ = timeout(REPORT_EVERY, limit.available()).await;
        }
    }

    /// Counts and reports that connections wait to be accepted.
    pub(crate) fn pause(&self, pause: AcceptPause, error: Option<&dyn Display>) {
        self.count_pause(pause);
        self.report_pause(pause, error);
    }

    fn count_pause(&self, pause: AcceptPause) {
        if let Some(counters) = &self.counters {
            counters.paused(pause);
        }
    }

    fn report_pause(&self, pause: AcceptPause, error: Option<&dyn Display>) {
        let event = FailureEvent {
            listener: Some(self.endpoint()),
            error,
            ..FailureEvent::default()
        };
        let failures = &self.trackers().failures;
        failures.record(Failure::Accept(pause), &event);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.proxy.now()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use lb_core::Snapshot;
    use lb_discovery::Static;

    use super::*;
    use crate::upstream::Upstream;
    use test_support::log::Capture;

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_stays_reached_is_reported_every_minute() {
        let source = Static::new(Snapshot::default());
        let upstream = Upstream::builder("test").discovery(source).build().unwrap();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 446));
        let limits = Limits::default();
        let proxy = ProxyState::new(
            Arc::new(SessionLimit::with_hysteresis(1)),
            limits,
            &Arc::new(Trackers::new()),
        );
        let listener = ListenerState::new(
            addr,
            Route::new(upstream),
            VirtualServers::new(),
            limits,
            &proxy,
        );
        let limit = SessionLimit::exact(1);
        let log = Capture::install();
        listener.wait_for(&limit).await;
        assert_eq!(log.take().len(), 0);

        assert!(limit.try_acquire());
        let waited = timeout(Duration::from_secs(150), listener.wait_for(&limit)).await;
        assert!(waited.is_err());
        let lines = log.take();
        assert_eq!(lines.len(), 3, "{lines:?}");
        for line in lines {
            let parts = [
                "WARN",
                "Accepting paused",
                "listener=127.0.0.1:446",
                "limit is 1",
            ];
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        }
        limit.release();
        listener.wait_for(&limit).await;
    }
}
