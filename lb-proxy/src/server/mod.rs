//! A proxy at work: serving and draining, in phases.

pub(crate) mod budget;
pub(crate) mod builder;
pub(crate) mod handle;
mod listener_set;
mod opening;
pub(crate) mod reload;
mod upstream_set;
pub(crate) mod worker_pool;

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime;
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::metrics::Metrics;
use crate::server::budget::DescriptorBudget;
use crate::server::handle::{DrainReport, Handle, Phase};
use crate::server::listener_set::Roster;
use crate::server::worker_pool::{COHORTS, Crew, Worker};
use crate::state::watch::Watch;

/// A proxy whose sockets are open. Connections queue in the kernel until [`run`](Self::run).
///
/// Dropping it, or the future of [`run`](Self::run), closes everything at once.
#[derive(Debug)]
pub struct Server {
    crew: Crew,
    shared: Arc<Shared>,
}

/// What the server, its handles and its workers have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) workers: Vec<Arc<Worker>>,
    pub(crate) signals: Signals,
    pub(crate) watch: Arc<Watch>,
    pub(crate) phase: watch::Sender<Phase>,
    /// The embedder's.
    pub(crate) runtime: runtime::Handle,
    pub(crate) roster: Mutex<Roster>,
    /// One reload at a time.
    pub(crate) reloading: tokio::sync::Mutex<()>,
}

/// How the end is made known.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// Everything ends now.
    pub(crate) abort: CancellationToken,
    /// The end has begun; a child of `abort`.
    pub(crate) leave: CancellationToken,
    /// No more connections are accepted; a child of `abort`.
    pub(crate) stop: CancellationToken,
    /// The accept loops of all workers.
    pub(crate) accepting: TaskTracker,
    /// All workers; one ends with its last session.
    pub(crate) working: TaskTracker,
}

/// How a proxy ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Farewell {
    pub(crate) pre_stop_delay: Duration,
    pub(crate) drain_timeout: Option<Duration>,
    pub(crate) close_spread: Duration,
}

impl Signals {
    pub(crate) fn new() -> Self {
        let abort = CancellationToken::new();
        Self {
            leave: abort.child_token(),
            stop: abort.child_token(),
            abort,
            accepting: TaskTracker::new(),
            working: TaskTracker::new(),
        }
    }
}

impl Server {
    pub(crate) fn new(crew: Crew, shared: Shared) -> Self {
        shared.roster().descriptors().log();
        Self {
            crew,
            shared: Arc::new(shared),
        }
    }

    /// The addresses listened on, in the order of the builder's calls, with the ports that the kernel chose.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.shared.roster().addrs()
    }

    /// How many sessions there are descriptors for.
    pub fn descriptors(&self) -> DescriptorBudget {
        self.shared.roster().descriptors()
    }

    /// A handle that outlives [`run`](Self::run).
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }

    /// Serves until `shutdown` completes or a [`Handle`] says so, then ends in [phases](Phase): it goes on accepting for
    /// the [`pre_stop_delay`](crate::ProxyBuilder::pre_stop_delay), closes the listening sockets, gives sessions the
    /// [`drain_timeout`](crate::ProxyBuilder::drain_timeout) to end, and resets what is left over the
    /// [`close_spread`](crate::ProxyBuilder::close_spread). A session delivers what was acknowledged before its reset, until
    /// the spread is over. What is left then ends as with [`Handle::abort`].
    ///
    /// Connections that have been made when a socket is closed are served. The kernel resets one that is made between the
    /// last look and the close.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> DrainReport {
        let signals = self.shared.signals.clone();
        std::mem::take(&mut self.crew).start();
        signals.working.close();
        self.shared.roster().begin(&self.shared.workers);
        self.enter(Phase::Serving);
        select! {
            () = shutdown => {}
            () = signals.leave.cancelled() => {}
            () = signals.stop.cancelled() => {}
        }
        let began = Instant::now();
        self.enter(Phase::Leaving);
        let Farewell { pre_stop_delay, .. } = self.shared.roster().farewell;
        if !pre_stop_delay.is_zero() {
            info!(?pre_stop_delay, "Leaving");
            select! {
                () = sleep(pre_stop_delay) => {}
                () = signals.stop.cancelled() => {}
            }
        }
        let pre_stop = began.elapsed();
        let before = self.shared.metrics();
        self.enter(Phase::Draining);
        let farewell = self.shared.roster().end();
        signals.stop.cancel();
        signals.accepting.close();
        signals.accepting.wait().await;
        let report = self.drain(farewell, pre_stop, before).await;
        self.enter(Phase::Ended);
        report
    }

    fn enter(&self, phase: Phase) {
        self.shared.phase.send_replace(phase);
    }

    /// What has ended since `before` is reported.
    async fn drain(&self, farewell: Farewell, pre_stop: Duration, before: Metrics) -> DrainReport {
        let begin = Instant::now();
        let Signals { abort, working, .. } = &self.shared.signals;
        // No session can start any more. Those that an abort has ended already belong to this drain as well, so that the
        // number is the sum of `aborted` and `completed` of the report.
        let ended_before = before.ended() - before.aborted;
        let sessions = self.shared.metrics().accepted - ended_before;
        info!(sessions, "Draining");
        let too_long = async {
            match farewell.drain_timeout {
                Some(limit) => sleep(limit).await,
                None => pending().await,
            }
        };
        select! {
            biased;
            () = working.wait() => {}
            () = abort.cancelled() => {}
            () = too_long => {}
        }
        let draining = begin.elapsed();
        self.enter(Phase::Closing);
        select! {
            biased;
            () = working.wait() => {}
            () = abort.cancelled() => {}
            () = self.cut_off(farewell.close_spread) => {}
        }
        abort.cancel();
        working.wait().await;
        let after = self.shared.metrics();
        let cut_off = after.aborted - before.aborted;
        let elapsed = begin.elapsed();
        let report = DrainReport {
            // Nothing else cuts off: what came before is of an `abort` that brought us here.
            aborted: after.aborted,
            completed: after.ended() - before.ended() - cut_off,
            elapsed,
            pre_stop,
            draining,
            closing: elapsed.saturating_sub(draining),
        };
        self.shared.watch.failures.flush();
        info!(report.aborted, report.completed, elapsed = ?report.elapsed, "Drained");
        report
    }

    /// Cuts off one cohort after the other.
    async fn cut_off(&self, spread: Duration) {
        if spread.is_zero() {
            return;
        }
        for number in 0..COHORTS {
            for worker in &self.shared.workers {
                worker.cut_off_cohort(number);
            }
            sleep(spread / COHORTS as u32).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.signals.abort.cancel();
        // Handles live on, the sockets must not.
        self.shared.roster().end();
        self.shared.watch.failures.flush();
    }
}

impl Shared {
    pub(crate) fn metrics(&self) -> Metrics {
        let mut sum = Metrics::default();
        for worker in &self.workers {
            worker.counters.add_to(&mut sum);
        }
        sum
    }

    pub(crate) fn roster(&self) -> MutexGuard<'_, Roster> {
        // No step of a change leaves it in pieces.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
