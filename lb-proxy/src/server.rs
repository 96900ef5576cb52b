//! A proxy at work: serving, draining, reporting.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::budget::DescriptorBudget;
use crate::metrics::Metrics;
use crate::upstream::Upstream;
use crate::worker::{Crew, Worker};

/// A proxy whose sockets are open. Connections queue in the kernel until [`run`](Self::run).
///
/// Dropping it, or the future of [`run`](Self::run), closes everything at once.
#[derive(Debug)]
pub struct Server {
    crew: Crew,
    listeners: Vec<(SocketAddr, Upstream)>,
    drain_timeout: Option<Duration>,
    descriptors: DescriptorBudget,
    shared: Arc<Shared>,
    _abort_on_drop: DropGuard,
}

/// What the server, its handles and its workers have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) workers: Vec<Arc<Worker>>,
    pub(crate) signals: Signals,
}

/// How the end is made known.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// Everything ends now.
    pub(crate) abort: CancellationToken,
    /// No more connections are accepted; a child of `abort`.
    pub(crate) stop: CancellationToken,
    /// The accept loops of all workers.
    pub(crate) accepting: TaskTracker,
    /// All workers; one ends with its last session.
    pub(crate) working: TaskTracker,
}

impl Signals {
    pub(crate) fn new() -> Self {
        let abort = CancellationToken::new();
        Self {
            stop: abort.child_token(),
            abort,
            accepting: TaskTracker::new(),
            working: TaskTracker::new(),
        }
    }
}

impl Server {
    /// Starts what runs beside the sessions: the followers of the upstreams.
    pub(crate) fn start(
        crew: Crew,
        listeners: Vec<(SocketAddr, Upstream)>,
        upstreams: Vec<Upstream>,
        drain_timeout: Option<Duration>,
        descriptors: DescriptorBudget,
        shared: Shared,
    ) -> Self {
        let named = listeners.iter().map(|(_, upstream)| upstream);
        for upstream in named.chain(&upstreams) {
            tokio::spawn(upstream.clone().follow(shared.signals.abort.clone()));
        }
        descriptors.log();
        Self {
            crew,
            listeners,
            drain_timeout,
            descriptors,
            _abort_on_drop: shared.signals.abort.clone().drop_guard(),
            shared: Arc::new(shared),
        }
    }

    /// The addresses listened on, in the order of the builder's calls, with the ports that the kernel chose.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(addr, _)| *addr).collect()
    }

    /// How many sessions there are descriptors for.
    pub const fn descriptors(&self) -> DescriptorBudget {
        self.descriptors
    }

    /// A handle that outlives [`run`](Self::run).
    pub fn handle(&self) -> Handle {
        Handle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Serves until `shutdown` completes or a [`Handle`] says so, then drains: no more connections are accepted,
    /// the listening sockets are closed, and sessions have the drain time-out to end. What is left is reset.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> DrainReport {
        for (addr, upstream) in &self.listeners {
            info!(listener = %addr, upstream = upstream.name(), "Listening");
        }
        let signals = self.shared.signals.clone();
        std::mem::take(&mut self.crew).start();
        signals.working.close();
        select! {
            () = shutdown => {}
            () = signals.stop.cancelled() => {}
        }
        signals.stop.cancel();
        signals.accepting.close();
        signals.accepting.wait().await;
        self.drain().await
    }

    async fn drain(&self) -> DrainReport {
        let begin = Instant::now();
        let Signals { abort, working, .. } = &self.shared.signals;
        let open = self.shared.metrics().active;
        info!(sessions = open, "Draining");
        let too_long = async {
            match self.drain_timeout {
                Some(limit) => sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        select! {
            biased;
            () = working.wait() => {}
            () = abort.cancelled() => {}
            () = too_long => {}
        }
        abort.cancel();
        working.wait().await;
        let aborted = self.shared.metrics().aborted;
        let report = DrainReport {
            aborted,
            completed: open.saturating_sub(aborted),
            elapsed: begin.elapsed(),
        };
        info!(report.aborted, report.completed, elapsed = ?report.elapsed, "Drained");
        report
    }
}

impl Shared {
    fn metrics(&self) -> Metrics {
        let mut sum = Metrics::default();
        for worker in &self.workers {
            worker.counters.add_to(&mut sum);
        }
        sum
    }
}

/// Watches and ends a [`Server`] from elsewhere. Cloning costs one reference count.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Begins to drain, as when the future given to [`Server::run`] completes.
    pub fn shutdown(&self) {
        self.shared.signals.stop.cancel();
    }

    /// Ends at once: listening sockets are closed, open sessions are reset.
    pub fn abort(&self) {
        self.shared.signals.abort.cancel();
    }

    /// What was counted until now, by all workers together.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// What each worker has counted, in the order of their threads; one entry without workers.
    pub fn worker_metrics(&self) -> Vec<Metrics> {
        let workers = self.shared.workers.iter().map(|worker| {
            let mut metrics = Metrics::default();
            worker.counters.add_to(&mut metrics);
            metrics
        });
        workers.collect()
    }
}

/// How a shutdown went.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DrainReport {
    /// Sessions that had to be reset.
    pub aborted: u64,
    /// Sessions that were open when the drain began and ended by themselves.
    pub completed: u64,
    /// How long the drain took.
    pub elapsed: Duration,
}
