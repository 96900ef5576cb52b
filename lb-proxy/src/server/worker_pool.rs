//! The workers: tasks on the embedder's runtime, or threads that have a runtime and listening sockets each.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::live_sessions::table::SessionTable;
use crate::runtime_thread::RuntimeThread;
use crate::state::shutdown::ShutdownSignals;
use crate::state::trackers::Trackers;
use crate::state::worker::Worker;

/// Where sessions run.
#[doc(alias = "worker_processes", alias = "nbthread", alias = "concurrency")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Workers {
    /// On the runtime that [`Proxy::bind`](crate::Proxy::bind) is called in, on all its threads. The default.
    #[default]
    CurrentRuntime,
    /// On this number of threads. Each has a runtime and a listening socket of its own (`SO_REUSEPORT`), and the kernel
    /// spreads connections between the sockets by the clients' addresses.
    ///
    /// A session stays on its thread, so that threads share nothing while bytes flow. Upstreams, limits and
    /// [`Metrics`](crate::Metrics) count all threads together. Discovery runs on the runtime of `bind`.
    ///
    /// The number of cores is a good number; [`ProxyBuilder::build`](crate::ProxyBuilder::build) refuses 0. All threads share a socket that
    /// [`Listener::from_std`](crate::Listener::from_std) took.
    Threads(
        #[cfg_attr(
            feature = "serde",
            serde(with = "lb_core::serde_form::Positive::<usize>")
        )]
        usize,
    ),
}

impl Workers {
    pub(crate) const fn count(self) -> usize {
        match self {
            Self::CurrentRuntime => 1,
            Self::Threads(count) => count,
        }
    }
}

/// The workers, before they run. Dropping it ends their threads.
#[derive(Debug, Default)]
pub(crate) struct WorkerPool {
    tasks: Vec<Arc<Worker>>,
    threads: Vec<oneshot::Sender<()>>,
    working: TaskTracker,
}

impl WorkerPool {
    /// Starts threads and their runtimes, which is all that can fail. They wait for [`run`](Self::run).
    pub(crate) fn start(
        workers: Workers,
        signals: &ShutdownSignals,
        trackers: &Arc<Trackers>,
    ) -> io::Result<(Self, Vec<Arc<Worker>>)> {
        let mut pool = Self {
            working: signals.working.clone(),
            ..Self::default()
        };
        let mut all = Vec::new();
        for number in 0..workers.count() {
            let live = SessionTable::new(number, workers.count());
            let worker = match workers {
                Workers::CurrentRuntime => {
                    let runtime = Handle::current();
                    let worker = Worker::new(number, signals, trackers, live, runtime);
                    pool.tasks.push(Arc::clone(&worker));
                    worker
                }
                Workers::Threads(_) => {
                    let (worker, start) = pool.thread(number, signals, trackers, live)?;
                    pool.threads.push(start);
                    worker
                }
            };
            all.push(worker);
        }
        Ok((pool, all))
    }

    fn thread(
        &self,
        number: usize,
        signals: &ShutdownSignals,
        trackers: &Arc<Trackers>,
        live: Arc<SessionTable>,
    ) -> io::Result<(Arc<Worker>, oneshot::Sender<()>)> {
        let thread = RuntimeThread::start(format!("lb-worker-{number}"))?;
        let worker = Worker::new(number, signals, trackers, live, thread.handle());
        let (start, started) = oneshot::channel();
        thread.run(self.working.track_future({
            let worker = Arc::clone(&worker);
            async move {
                if started.await.is_ok() {
                    worker.run().await;
                }
            }
        }));
        Ok((worker, start))
    }

    /// Lets the workers run. Must be called in the runtime of [`Workers::CurrentRuntime`].
    pub(crate) fn run(self) {
        for worker in self.tasks {
            tokio::spawn(self.working.track_future(worker.run()));
        }
        for thread in self.threads {
            // The receiver is gone only if the thread panicked, which no code in it does.
            let _ = thread.send(());
        }
    }
}
