//! A handle of a running server.

#[cfg(feature = "metrics")]
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lb_core::Endpoint;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::budget::DescriptorBudget;
use super::pause;
use super::phase::Phase;
use super::proxy::Proxy;
use super::readiness::{self, ReadinessWatch};
use super::reload;
use super::reload_history::ReloadRecord;
use super::report::{ReloadCounts, ReloadReport};
use super::server_state::ServerState;
#[cfg(feature = "admin")]
use crate::embedder_code::Panicked;
use crate::error::ReloadError;
#[cfg(feature = "admin")]
use crate::failures::kind::{Failure, FailureEvent};
use crate::listener::inheritable::InheritableSockets;
use crate::live_sessions::{Selection, SessionFilter, SessionList};
use crate::metrics::{DetailedMetrics, Metrics};
#[cfg(feature = "metrics")]
use crate::net::tcp_info::TcpInfo;
#[cfg(feature = "admin")]
use crate::operator_action::ActionHistory;
use crate::readiness::Readiness;
use crate::saved_state::SavedState;
#[cfg(feature = "admin")]
use crate::session::dry_run::{DryRun, RouteQuestion};
#[cfg(feature = "admin")]
use crate::state::listener::ListenerState;
use crate::upstream::Upstream;

/// Observes, reloads and shuts down a [`Server`](crate::Server) from any thread. Cloning costs one reference count.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) server: Arc<ServerState>,
}

impl Handle {
    pub(super) const fn new(server: Arc<ServerState>) -> Self {
        Self { server }
    }

    /// Begins the shutdown, as when the future given to [`Server::run`](crate::Server::run) completes.
    pub fn shutdown(&self) {
        self.server.context.signals.leave.cancel();
    }

    /// Ends the server at once: closes the listening sockets and resets open sessions.
    ///
    /// A side whose kernel has not acknowledged everything is ended instead of reset, so that the kernel delivers what it
    /// has. Bytes that the kernel does not have yet are lost.
    pub fn abort(&self) {
        self.server.context.signals.abort.cancel();
    }

    /// The current phase.
    pub fn phase(&self) -> Phase {
        *self.server.phase.borrow()
    }

    /// Completes when the server has reached `phase` or a later one. Never completes if the server is dropped before.
    ///
    /// Cancel-safe.
    pub async fn reached(&self, phase: Phase) {
        let mut phases = self.server.phase.subscribe();
        // The sender lives as long as `self`.
        let _ = phases.wait_for(|now| *now >= phase).await;
    }

    /// What the server knows and another process may [begin with](Proxy::restore): the last good sets of the sources of all
    /// upstreams with their ages, and of each backend its health, its failures, its ejections and its slow start. Load, overrides and
    /// counters are not part of it. O(backends), and allocates.
    pub fn export_state(&self) -> SavedState {
        let upstreams = self.upstreams();
        SavedState {
            saved: SystemTime::now(),
            upstreams: upstreams.iter().map(Upstream::export).collect(),
        }
    }

    /// As [`export_state`](Self::export_state), but only the failures, ejections and failed checks of backends, and without the sets of the
    /// sources: for a program that keeps these itself. O(backends), and allocates for backends with a failure only.
    pub fn export_faults(&self) -> SavedState {
        let upstreams = self.upstreams();
        let faults = upstreams.iter().map(Upstream::export_faults);
        SavedState {
            saved: SystemTime::now(),
            upstreams: faults.filter(|saved| !saved.memories.is_empty()).collect(),
        }
    }

    /// Whether the server should get new connections: the answer to a readiness probe. See [`readiness`](Self::readiness).
    pub fn is_ready(&self) -> bool {
        self.readiness().is_ready()
    }

    /// Whether the server should get new connections, and why not. It should if
    ///
    /// - the shutdown has not begun: this is false while connections are still accepted for the
    ///   [`pre_stop_delay`](super::ProxyBuilder::pre_stop_delay);
    /// - the listeners accept connections, which they do not during a [pause](Self::pause);
    /// - the first membership of each upstream is known;
    /// - each [essential](crate::UpstreamBuilder::essential) upstream has a backend that could be picked: one that is neither
    ///   ejected nor unhealthy nor drained, or any if the upstream [panics](Upstream::is_in_panic);
    /// - the control loop has reported in time, if it ever has: [`heartbeat`](Self::heartbeat);
    /// - the program has reported no problem of its own: [`note_program`](Self::note_program).
    ///
    /// O(upstreams), and O(backends) for each essential upstream.
    pub fn readiness(&self) -> Readiness {
        readiness::readiness(&self.server)
    }

    /// Watches [`readiness`](Self::readiness) without polling it.
    pub fn watch_readiness(&self) -> ReadinessWatch {
        ReadinessWatch::new(self.clone(), &self.server)
    }

    /// Reports that the program's control loop is alive. From then on readiness requires another report within `valid_for`.
    ///
    /// A program calls it from the loop that handles its signals and reloads, and after [`workers_answer`](Self::workers_answer),
    /// so that a program that hangs is not ready although its admin server answers.
    pub fn heartbeat(&self, valid_for: Duration) {
        let now = Instant::now();
        // The sum may be beyond what the clock can express: then the report holds for as long as it can.
        let until = now.checked_add(valid_for);
        self.server
            .note_alive(until.unwrap_or_else(|| now + Duration::from_secs(1 << 31)));
    }

    /// Reports why the program should not get connections although the server could serve them, for example because it has not
    /// learned yet what to listen on, or with `None` that it should. [`readiness`](Self::readiness) shows a problem as
    /// [`ReadinessCheck::Program`]. Default: none.
    ///
    /// [`ReadinessCheck::Program`]: crate::reports::ReadinessCheck::Program
    pub fn note_program(&self, problem: Option<String>) {
        self.server.note_program(problem);
    }

    /// Reports why the program cannot publish the readiness, for example because another process has taken its readiness file,
    /// or with `None` that it can. [`readiness`](Self::readiness) shows a problem as [`ReadinessCheck::Publication`], which does
    /// not make the server not ready: it can serve all the same.
    ///
    /// [`ReadinessCheck::Publication`]: crate::reports::ReadinessCheck::Publication
    pub fn note_publication(&self, problem: Option<String>) {
        self.server.note_publication(problem);
    }

    /// Completes when every worker has run a task that was spawned by this call, or has ended. A worker that is blocked does
    /// not answer, so a caller sets a time limit.
    ///
    /// Costs a task for each worker. Cancel-safe.
    pub async fn workers_answer(&self) {
        let workers = self.server.context.workers.iter();
        let answers: Vec<_> = workers.map(|worker| worker.answer()).collect();
        for answer in answers {
            // It fails only if the runtime of the worker ends.
            let _ = answer.await;
        }
    }

    /// Cancelled when the shutdown begins.
    pub(super) fn leave_token(&self) -> CancellationToken {
        self.server.context.signals.leave.clone()
    }

    /// Stops accepting, keeps the listening sockets open, and drains: open sessions go on for the
    /// [`drain_timeout`](super::ProxyBuilder::drain_timeout) and are then reset over the
    /// [`close_spread`](super::ProxyBuilder::close_spread). The phase stays [`Phase::Serving`]. Returns whether the server
    /// accepted before. A worker that is about to accept may still accept one connection of each socket.
    ///
    /// Connections wait in the kernel's queues until the server [resumes](Self::resume), or another process that has
    /// [the sockets](Self::listening_sockets) accepts them. A shutdown or an abort may follow; connections that are queued then
    /// are reset unless another process has the sockets.
    #[doc(alias = "SIGWINCH")]
    pub fn pause(&self) -> bool {
        pause::pause(&self.server)
    }

    /// Accepts again after a [`pause`](Self::pause), and gives the sessions that its drain has not reset yet unlimited time.
    /// Returns whether there was a pause.
    pub fn resume(&self) -> bool {
        pause::resume(&self.server)
    }

    /// Duplicates of the listening sockets, one group for each listener that has sockets, for another process to
    /// [inherit](crate::Listener::inherit). This server goes on accepting; the kernel gives each connection to the process that
    /// accepts it first. Empty after the shutdown.
    ///
    /// # Errors
    ///
    /// The process has no free descriptors.
    #[doc(alias = "SIGUSR2")]
    pub fn listening_sockets(&self) -> io::Result<Vec<InheritableSockets>> {
        self.server.active().duplicate_sockets()
    }

    /// Sets whether the files of the unix sockets that are open now are left when their listeners close, because another
    /// process serves them. Default: no, except for [inherited](crate::Listener::inherit) sockets. The files of
    /// [external](InheritableSockets::is_external) sockets always stay.
    pub fn keep_socket_files(&self, keep: bool) {
        self.server.active().keep_socket_files(keep);
    }

    /// Applies another description to the running server. Open sessions go on.
    ///
    /// - A listener is identified by the address of its description. A kept listener keeps its sockets, without a moment in
    ///   which connections are refused, and its new sessions have the settings of the new description. One whose description is
    ///   equal is left alone, at the cost of comparing the settings; functions, hooks, prereads and tables of names are equal if
    ///   they are the same object, and virtual servers never. A changed
    ///   [`ipv6_only`](crate::Listener::ipv6_only) of `[::]` needs other sockets. New listeners are bound before anything
    ///   changes, also if their address overlaps with that of a removed one, as `0.0.0.0:80` does with `127.0.0.1:80`: both
    ///   are open for a moment, and no client finds the address closed. A removed listener accepts no more connections; its
    ///   sessions go on. The kernel resets connections that are made between the last accept and the close of a socket.
    /// - An upstream is identified by its name. A kept upstream keeps everything: the state of its backends, its sources and
    ///   their last sets. It is kept if it is the same [`Upstream`](crate::Upstream) object, or has an equal
    ///   [description](crate::UpstreamBuilder::fingerprint). A changed upstream keeps the state
    ///   of its backends and takes over the settings of the described one, whose handles mean the running one from then on.
    ///   Its backends stay until the new sources have answered. Upstreams that only a preread chooses must be
    ///   [named](super::ProxyBuilder::upstream).
    /// - Limits on sessions go on counting the sessions that they counted. A new limit counts new sessions.
    /// - The [budget of descriptors](Self::descriptors) is computed again. The workers stay as they are.
    ///
    /// An address in use is retried for the [`bind_timeout`](super::ProxyBuilder::bind_timeout) of `proxy`. Completes when
    /// the sockets of removed listeners are closed. Reloads are applied one at a time, in the order of the calls.
    ///
    /// May be called from any thread, inside or outside of a runtime. Costs the system calls that open sockets, and some for each
    /// listener that changes.
    ///
    /// Cancel-safe: the reload has been applied as a whole or not at all.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]. Nothing has changed then. An address that overlaps cannot be bound if sockets of another user hold
    /// the old address: those that root opened before the process became another user, or that systemd opened. See
    /// [`BindError::InTheWay`](crate::errors::BindError::InTheWay).
    pub async fn reload(&self, proxy: Proxy) -> Result<ReloadReport, ReloadError> {
        let reloaded = reload::reload(&self.server, proxy).await;
        let outcome = reloaded.as_ref().map(ReloadReport::clone);
        let outcome = outcome.map_err(|error| lb_core::Escaped(&chain(error)).to_string().into());
        self.server.note_reload(outcome);
        reloaded
    }

    /// Whether live sessions are tracked.
    #[cfg(feature = "admin")]
    pub(crate) fn tracks_sessions(&self) -> bool {
        self.server.active().tracks_sessions()
    }

    /// The state of each listener, in the order of the description.
    #[cfg(feature = "admin")]
    pub(crate) fn listener_states(&self) -> Vec<Arc<ListenerState>> {
        self.server.active().listener_states()
    }

    /// Counts a failure, and logs it if its kind is due.
    #[cfg(feature = "admin")]
    pub(crate) fn note_failure(&self, failure: Failure, event: &FailureEvent<'_>) {
        self.server.context.trackers.failures.record(failure, event);
    }

    /// Counts and reports a panic of the program's code in the admin server.
    #[cfg(feature = "admin")]
    pub(crate) fn note_panic(&self, panicked: &Panicked) {
        self.server.context.trackers.note_panic(panicked);
    }

    /// Where `question` would go. See [`DryRun`].
    #[cfg(feature = "admin")]
    pub(crate) async fn dry_run(
        &self,
        question: RouteQuestion,
        listener: Arc<ListenerState>,
    ) -> DryRun {
        let context = &self.server.context;
        // All workers have the same table, and there is always a worker.
        let passes = context.workers.first().map(|worker| &worker.listeners);
        let find = |addr| passes?.find(addr);
        DryRun::of(question, listener, find, &context.runtime).await
    }

    /// Adds a reload that failed before [`reload`](Self::reload), such as one of an invalid file, to the
    /// [history](Self::reload_history), and counts it as [failed](Self::reloads).
    pub fn note_failed_reload(&self, error: impl Into<Arc<str>>) {
        self.server.note_reload(Err(error.into()));
    }

    /// The last 32 reloads, the oldest first, failed ones included.
    pub fn reload_history(&self) -> Vec<ReloadRecord> {
        self.server.reload_history()
    }

    /// What operators did by requests. Outlives reloads.
    #[cfg(feature = "admin")]
    pub(crate) fn operator_actions(&self) -> &ActionHistory {
        &self.server.actions
    }

    /// When the server was bound.
    pub fn started(&self) -> SystemTime {
        self.server.started
    }

    /// How many reloads have been applied, and how many have failed.
    pub fn reloads(&self) -> ReloadCounts {
        self.server.reloads()
    }

    /// How many sessions the process has descriptors for.
    pub fn descriptors(&self) -> DescriptorBudget {
        self.server.active().descriptors()
    }

    /// How many sessions may be open: the [limit](crate::Limits::sessions) of the whole proxy. `None` without one.
    pub fn session_limit(&self) -> Option<u64> {
        self.server.active().session_limit()
    }

    /// The addresses listened on now, in the order of the description. For a unix socket the
    /// [key](lb_core::Endpoint::unix_key) of its path.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.server.active().addrs()
    }

    /// The live sessions that `filter` selects, if the proxy [tracks](super::ProxyBuilder::track_sessions) them.
    ///
    /// The sessions are those of one moment each: a session that begins or ends during the call may be missing. Costs some
    /// 100 ns a live session on the calling thread, and memory for twice the filter's limit. A worker waits for some
    /// microseconds at most.
    #[doc(alias = "show sess")]
    pub fn sessions(&self, filter: &SessionFilter) -> SessionList {
        self.select(Selection::new(filter), filter).into_list()
    }

    /// Closes the live sessions that `filter` selects, if the proxy [tracks](super::ProxyBuilder::track_sessions) them.
    /// Returns how many; those that were closed before do not count.
    ///
    /// A session without a backend gets none. One that relays delivers the bytes that were acknowledged before, and then
    /// resets both sides; it lasts until then. Sessions that begin during the call go on: if a backend is to be rid of its
    /// sessions, stop new ones first, by [`AdminState::Drain`](lb_core::AdminState::Drain). Costs as
    /// [`sessions`](Self::sessions).
    #[doc(alias = "shutdown sessions server")]
    pub fn close_sessions(&self, filter: &SessionFilter) -> usize {
        let selection = Selection::new(filter).without_closing();
        let sessions = self.select(selection, filter).into_sessions();
        sessions
            .filter(|session| session.close_request().close())
            .count()
    }

    /// Resets the live sessions that `filter` selects, if the proxy [tracks](super::ProxyBuilder::track_sessions) them, those
    /// that are about to end included. Returns how many; those that were reset before do not count.
    ///
    /// Unlike [`close_sessions`](Self::close_sessions) it delivers nothing: both sides are reset at once, and what a peer has
    /// not received is lost. For sessions whose client does not read, which [`close_sessions`](Self::close_sessions) lets
    /// last for the time that [`Timeouts::idle`](crate::Timeouts::idle) gives. Costs as [`sessions`](Self::sessions).
    pub fn reset_sessions(&self, filter: &SessionFilter) -> usize {
        let sessions = self.select(Selection::new(filter), filter).into_sessions();
        sessions
            .filter(|session| session.close_request().reset())
            .count()
    }

    fn select<'a>(&self, mut selection: Selection<'a>, filter: &SessionFilter) -> Selection<'a> {
        for worker in &self.server.context.workers {
            let id = filter.asked_id();
            if id.is_none_or(|id| worker.live.may_have(id)) {
                worker.live.visit(|session| selection.offer(session));
            }
        }
        selection
    }

    /// What the kernel reports of the sockets of at most `most` sessions to their backends, by upstream. The sessions are
    /// spread over all that are live and tracked, and other ones at each call. O(most).
    #[cfg(feature = "metrics")]
    pub(crate) fn sample_sockets(&self, most: usize) -> BTreeMap<Arc<str>, Vec<TcpInfo>> {
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let workers = &self.server.context.workers;
        for (i, worker) in workers.iter().enumerate() {
            let share = most / workers.len() + usize::from(i < most % workers.len());
            worker.live.sample(share, |session| {
                if let Some((upstream, info)) = session.backend_tcp() {
                    all.entry(upstream).or_default().push(info);
                }
            });
        }
        all
    }

    /// The listeners in the order of the description: what they listen on, and the upstream that they name.
    pub fn listeners(&self) -> Vec<(Endpoint, Upstream)> {
        self.server.active().listeners()
    }

    /// The counters, summed over all workers. O(workers).
    pub fn metrics(&self) -> Metrics {
        self.server.context.metrics()
    }

    /// The counters by listener, upstream and backend. `None` unless the proxy, or one of a reload, was
    /// built with [`detailed_metrics`](crate::ProxyBuilder::detailed_metrics). O(workers × (listeners + upstreams) + backends), and
    /// allocates.
    ///
    /// What was removed and has no session any more is listed until a collector of the feature `metrics` has reported it.
    pub fn detailed_metrics(&self) -> Option<DetailedMetrics> {
        self.server.detailed_metrics(false)
    }

    /// The counters by listener, upstream and backend, for a collector: what was removed is reported for the last time.
    #[cfg(feature = "metrics")]
    pub(crate) fn last_detailed_metrics(&self) -> Option<DetailedMetrics> {
        self.server.detailed_metrics(true)
    }

    /// The upstreams that the server follows, in the order of the description.
    pub fn upstreams(&self) -> Vec<Upstream> {
        self.server.active().upstreams()
    }

    /// The counters of each worker, in the order of their threads. One entry without worker threads. They have no
    /// [panics](Metrics::panics) of code that runs outside of sessions.
    pub fn worker_metrics(&self) -> Vec<Metrics> {
        let workers = self.server.context.workers.iter();
        let metrics = workers.map(|worker| Metrics::read(std::iter::once(&*worker.counters)));
        metrics.collect()
    }
}

/// The error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
