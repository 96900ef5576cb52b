//! The part of a server that a reload replaces.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::Endpoint;
use tokio::runtime;
use tokio::task::AbortHandle;

use super::budget::DescriptorBudget;
use super::context::ServerContext;
use super::desired_state::DesiredState;
use super::listener_set::ListenerSet;
use super::proxy::ShutdownConfig;
use super::report::ReloadReport;
use super::shared_budget::BudgetShare;
use super::upstream_set::UpstreamSet;
use super::worker_pool::Workers;
use crate::error::ReloadError;
use crate::listener::inheritable::InheritableSockets;
use crate::listener::running::ClosingListener;
use crate::listener::sockets::ListenerSockets;
use crate::state::listener::ListenerState;
use crate::state::proxy::ProxyState;
use crate::state::shutdown::ShutdownSignals;
use crate::state::trackers::Trackers;
use crate::state::worker::Worker;
use crate::upstream::Upstream;

/// The listeners, the upstreams and the settings that a server runs with.
#[derive(Debug)]
pub(crate) struct ActiveConfig {
    listeners: ListenerSet,
    upstreams: UpstreamSet,
    proxy: Arc<ProxyState>,
    workers: Workers,
    descriptors: BudgetShare,
    tracks_sessions: bool,
    pub(crate) shutdown: ShutdownConfig,
    accepting: Accepting,
    /// The task that resets the sessions of a pause.
    drain: Option<AbortHandle>,
    /// The listeners at the end, for open sessions that pass from one to another.
    ended: Vec<Arc<ListenerState>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Accepting {
    NotYet,
    Now,
    /// The sockets are open, and no loop accepts.
    Paused,
    Ended,
}

impl ActiveConfig {
    /// Takes over the listeners of `desired`, which are open, and begins to follow its upstreams. No connection is accepted
    /// before [`accept`](Self::accept).
    pub(crate) fn new(
        desired: DesiredState,
        workers: usize,
        signals: &ShutdownSignals,
        trackers: &Arc<Trackers>,
    ) -> Self {
        let pending = desired.listeners.iter();
        let sockets = pending.filter_map(|pending| pending.sockets.as_ref());
        let listening = sockets.map(ListenerSockets::descriptors).sum();
        let descriptors = BudgetShare::join(listening, desired.reserve);
        if desired.detailed_metrics {
            trackers.count_in_detail(workers);
        }
        trackers.lost_addresses.set_timeout(desired.orphan_timeout);
        let sessions = Arc::clone(descriptors.sessions());
        let proxy = ProxyState::new(sessions, desired.limits, trackers);
        let listeners = ListenerSet::new(desired.listeners, &proxy, signals);
        trackers.hops.set_listeners(listeners.addrs());
        let mut upstreams = UpstreamSet::default();
        upstreams.replace(desired.upstreams, &runtime::Handle::current(), signals);
        upstreams.observe(trackers);
        Self {
            listeners,
            upstreams,
            proxy,
            workers: desired.workers,
            descriptors,
            tracks_sessions: desired.tracks_sessions,
            shutdown: desired.shutdown,
            accepting: Accepting::NotYet,
            drain: None,
            ended: Vec::new(),
        }
    }

    /// The addresses listened on.
    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        self.listeners.addrs()
    }

    /// What the listeners listen on, and the upstreams that they name.
    pub(crate) fn listeners(&self) -> Vec<(Endpoint, Upstream)> {
        let states = self.listeners.states();
        states
            .map(|state| (state.endpoint(), state.route.upstream.clone()))
            .collect()
    }

    /// The limit on open sessions of the whole proxy.
    pub(crate) fn session_limit(&self) -> Option<u64> {
        self.proxy.session_limit()
    }

    /// The state of each listener.
    #[cfg(any(feature = "admin", test))]
    pub(crate) fn listener_states(&self) -> Vec<Arc<ListenerState>> {
        self.listeners.states().cloned().collect()
    }

    /// What it listens on.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.listeners
            .states()
            .map(|state| state.endpoint())
            .collect()
    }

    /// The upstreams that it follows.
    pub(crate) fn upstreams(&self) -> Vec<Upstream> {
        self.upstreams.all().cloned().collect()
    }

    /// Whether live sessions are tracked.
    #[cfg(feature = "admin")]
    pub(crate) const fn tracks_sessions(&self) -> bool {
        self.tracks_sessions
    }

    pub(crate) fn descriptors(&self) -> DescriptorBudget {
        self.descriptors.budget()
    }

    /// Starts the accept loops.
    pub(crate) fn accept(&mut self, workers: &[Arc<Worker>]) {
        self.accepting = Accepting::Now;
        self.switch_tracking(workers);
        self.publish_listeners(workers);
        self.listeners.accept(workers);
    }

    /// Ends the accept loops, and keeps the sockets open. Returns whether they ran.
    /// `start_drain` starts the task that resets sessions later.
    pub(crate) fn pause(&mut self, start_drain: impl FnOnce() -> AbortHandle) -> bool {
        let ran = self.accepting == Accepting::Now;
        if ran {
            self.accepting = Accepting::Paused;
            self.listeners.pause();
            self.drain = Some(start_drain());
        }
        ran
    }

    /// Starts the accept loops again after a [`pause`](Self::pause). Returns whether there was one. `prepare` runs after the
    /// end of the drain, and before the first accept.
    pub(crate) fn resume(&mut self, workers: &[Arc<Worker>], prepare: impl FnOnce()) -> bool {
        let resumes = self.accepting == Accepting::Paused;
        if resumes {
            self.accepting = Accepting::Now;
            if let Some(drain) = self.drain.take() {
                drain.abort();
            }
            prepare();
            self.listeners.resume(workers);
        }
        resumes
    }

    /// Whether accept loops run.
    pub(crate) fn is_accepting(&self) -> bool {
        self.accepting == Accepting::Now
    }

    /// Duplicates of the sockets of all listeners.
    pub(crate) fn duplicate_sockets(&self) -> io::Result<Vec<InheritableSockets>> {
        self.listeners.duplicate()
    }

    /// Sets whether the files of unix sockets are left when they are closed.
    pub(crate) fn keep_socket_files(&mut self, keep: bool) {
        self.listeners.keep_files(keep);
    }

    /// Closes the listeners. No reload is applied any more.
    pub(crate) fn end(&mut self) -> ShutdownConfig {
        self.accepting = Accepting::Ended;
        self.ended = self.listeners.states().cloned().collect();
        self.listeners.close();
        self.descriptors.leave();
        self.shutdown.clone()
    }

    /// Applies `desired` if every address that it adds can be bound now. Otherwise nothing changes, and `desired` may be
    /// applied again.
    ///
    /// Returns the listeners that are about to close their sockets.
    pub(crate) fn apply(
        &mut self,
        desired: &mut DesiredState,
        context: &ServerContext,
    ) -> Result<(ReloadReport, Vec<ClosingListener>), ReloadError> {
        if self.accepting == Accepting::Ended || context.signals.abort.is_cancelled() {
            return Err(ReloadError::Ended);
        }
        let diff = self.listeners.diff(desired);
        let open_ports = self.listeners.open(desired, &diff, &context.workers)?;
        // No step from here on can fail.
        if desired.detailed_metrics {
            context.trackers.count_in_detail(context.workers.len());
        }
        // Before a new listener accepts connections for them.
        let upstreams = self.upstreams.replace(
            std::mem::take(&mut desired.upstreams),
            &context.runtime,
            &context.signals,
        );
        self.upstreams.observe(&context.trackers);
        self.proxy = self.proxy.with_limits(desired.limits);
        self.shutdown = desired.shutdown.clone();
        let lost_addresses = &context.trackers.lost_addresses;
        lost_addresses.set_timeout(desired.orphan_timeout);
        self.tracks_sessions = desired.tracks_sessions;
        self.switch_tracking(&context.workers);
        let (listeners, closing) = self.listeners.replace(
            std::mem::take(&mut desired.listeners),
            &diff,
            open_ports,
            &self.proxy,
            context,
            self.accepting == Accepting::Now,
        );
        context.trackers.hops.set_listeners(self.addrs());
        self.publish_listeners(&context.workers);
        let listening = self.listeners.descriptors();
        if self.descriptors.change(listening, desired.reserve) {
            self.descriptors.budget().log();
        }
        let report = ReloadReport {
            listeners,
            upstreams,
            workers_differ: desired.workers != self.workers,
        };
        Ok((report, closing))
    }

    fn switch_tracking(&self, workers: &[Arc<Worker>]) {
        for worker in workers {
            worker.live.switch(self.tracks_sessions);
        }
    }

    /// Publishes to the workers the listeners that a session may be passed to.
    fn publish_listeners(&self, workers: &[Arc<Worker>]) {
        for worker in workers {
            worker.listeners.set(self.listeners.states());
        }
    }
}
