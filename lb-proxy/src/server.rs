//! A proxy at work: accepting, draining, reporting.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::listener::BoundListener;
use crate::metrics::{Counters, Metrics};
use crate::session::Session;

/// A proxy whose sockets are open. Connections queue in the kernel until [`run`](Self::run).
///
/// Dropping it, or the future of [`run`](Self::run), closes everything at once.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<BoundListener>,
    local_addrs: Vec<SocketAddr>,
    drain_timeout: Option<Duration>,
    shared: Arc<Shared>,
    _abort_on_drop: DropGuard,
}

/// What the server, its handles and its tasks have in common.
#[derive(Debug)]
struct Shared {
    counters: Counters,
    /// Everything ends now.
    abort: CancellationToken,
    /// No more connections are accepted; a child of `abort`.
    stop: CancellationToken,
    sessions: TaskTracker,
}

impl Server {
    /// Starts what runs beside the sessions: the followers of the upstreams.
    pub(crate) fn start(listeners: Vec<BoundListener>, drain_timeout: Option<Duration>) -> Self {
        let abort = CancellationToken::new();
        let shared = Arc::new(Shared {
            counters: Counters::default(),
            stop: abort.child_token(),
            abort,
            sessions: TaskTracker::new(),
        });
        for listener in &listeners {
            let upstream = listener.route.upstream.clone();
            tokio::spawn(upstream.follow(shared.abort.clone()));
        }
        Self {
            local_addrs: listeners.iter().map(|listener| listener.addr).collect(),
            listeners,
            drain_timeout,
            _abort_on_drop: shared.abort.clone().drop_guard(),
            shared,
        }
    }

    /// The addresses listened on, in the order of the builder's calls, with the ports that the kernel chose.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
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
        let accepting = TaskTracker::new();
        for listener in self.listeners.drain(..) {
            info!(listener = %listener.addr, upstream = listener.route.upstream.name(), "Listening");
            accepting.spawn(accept(listener, Arc::clone(&self.shared)));
        }
        accepting.close();
        select! {
            () = shutdown => {}
            () = self.shared.stop.cancelled() => {}
        }
        self.shared.stop.cancel();
        accepting.wait().await;
        self.drain().await
    }

    async fn drain(&self) -> DrainReport {
        let begin = Instant::now();
        let Shared {
            counters,
            abort,
            sessions,
            ..
        } = &*self.shared;
        let open = sessions.len() as u64;
        info!(sessions = open, "Draining");
        sessions.close();
        let too_long = async {
            match self.drain_timeout {
                Some(limit) => sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        select! {
            biased;
            () = sessions.wait() => {}
            () = abort.cancelled() => {}
            () = too_long => {}
        }
        abort.cancel();
        sessions.wait().await;
        let aborted = counters.read().aborted;
        let report = DrainReport {
            aborted,
            completed: open.saturating_sub(aborted),
            elapsed: begin.elapsed(),
        };
        info!(report.aborted, report.completed, elapsed = ?report.elapsed, "Drained");
        report
    }
}

async fn accept(mut listener: BoundListener, shared: Arc<Shared>) {
    loop {
        let (client, peer) = select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept(&shared.counters) => accepted,
        };
        let session = Session {
            client,
            peer,
            route: Arc::clone(&listener.route),
        };
        shared.counters.accepted.increment();
        shared.counters.active.increment();
        shared.sessions.spawn(serve(session, Arc::clone(&shared)));
    }
}

async fn serve(session: Session, shared: Arc<Shared>) {
    select! {
        biased;
        () = shared.abort.cancelled() => {
            shared.counters.aborted.increment();
            session.abort();
        }
        () = session.run(&shared.counters) => {}
    }
    drop(session);
    shared.counters.active.decrement();
}

/// Watches and ends a [`Server`] from elsewhere. Cloning costs one reference count.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Begins to drain, as when the future given to [`Server::run`] completes.
    pub fn shutdown(&self) {
        self.shared.stop.cancel();
    }

    /// Ends at once: listening sockets are closed, open sessions are reset.
    pub fn abort(&self) {
        self.shared.abort.cancel();
    }

    /// What was counted until now.
    pub fn metrics(&self) -> Metrics {
        self.shared.counters.read()
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
