//! Who does the work: tasks on the embedder's runtime, or threads with a runtime and listening sockets of their own.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::select;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listener::accept_loop::{Door, accept};
use crate::metrics::Counters;
use crate::net::acceptor::Acceptor;
use crate::server::Signals;
use crate::state::watch::Watch;

/// Shorter than most time-outs, longer than would matter to a machine that rests.
const BEAT: Duration = Duration::from_secs(1);

/// Where sessions run.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Workers {
    /// On the runtime that [`Proxy::bind`](crate::Proxy::bind) is called in, whatever its threads.
    #[default]
    Here,
    /// On so many threads, each with a runtime and a listening socket of its own (`SO_REUSEPORT`), between which the
    /// kernel spreads connections by their addresses. A session stays on its thread, so that nothing is shared while
    /// bytes flow; upstreams, limits and [`Metrics`](crate::Metrics) are of all threads together. Discovery runs on
    /// the runtime of `bind`.
    ///
    /// As many as there are cores is a good number. A socket taken with [`Listener::from_std`](crate::Listener::from_std)
    /// is shared by all threads.
    Threads(NonZeroUsize),
}

impl Workers {
    pub(crate) const fn count(self) -> usize {
        match self {
            Self::Here => 1,
            Self::Threads(count) => count.get(),
        }
    }
}

/// One worker: its sessions and what they count.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) counters: Arc<Counters>,
    pub(crate) watch: Arc<Watch>,
    /// A part of its sessions ends now. Tokens of its own, so that sessions of different workers do not queue for one lock.
    cohorts: Box<[CancellationToken]>,
    /// Sessions that were cut off wait for nothing any more. The parent of the cohorts.
    pub(crate) abort: CancellationToken,
    pub(crate) stop: CancellationToken,
    pub(crate) sessions: TaskTracker,
    accepting: TaskTracker,
    runtime: Handle,
}

/// Into how many parts the sessions of a worker are divided, to be cut off one after the other.
pub(crate) const COHORTS: usize = 64;

impl Worker {
    pub(crate) fn new(signals: &Signals, watch: &Arc<Watch>, runtime: Handle) -> Arc<Self> {
        let abort = signals.abort.child_token();
        let cohorts = (0..COHORTS).map(|_| abort.child_token());
        Arc::new(Self {
            counters: Arc::default(),
            watch: Arc::clone(watch),
            cohorts: cohorts.collect(),
            abort,
            runtime,
            stop: signals.stop.child_token(),
            sessions: TaskTracker::new(),
            accepting: signals.accepting.clone(),
        })
    }

    /// Tells a new session of its end.
    pub(crate) fn cut_off(&self) -> &CancellationToken {
        &self.cohorts[self.counters.accepted.get() as usize % COHORTS]
    }

    /// Cuts off one of the [`COHORTS`].
    pub(crate) fn cut_off_cohort(&self, number: usize) {
        self.cohorts[number].cancel();
    }

    /// Opens a listening socket in its runtime.
    pub(crate) fn open(&self, socket: std::net::TcpListener) -> io::Result<Arc<Acceptor>> {
        let _inside = self.runtime.enter();
        Acceptor::from_std(socket).map(Arc::new)
    }

    /// Accepts at `door`, besides its other ones. `doors` tells when it has closed.
    pub(crate) fn attend(self: &Arc<Self>, door: Door, doors: &TaskTracker) {
        let accepting = self.accepting.track_future(accept(door, Arc::clone(self)));
        self.runtime.spawn(doors.track_future(accepting));
    }

    /// Works until told to stop, then waits for the last session.
    async fn work(self: Arc<Self>) {
        select! {
            () = self.stop.cancelled() => {}
            () = self.beat() => {}
        }
        self.accepting.wait().await;
        self.sessions.close();
        self.sessions.wait().await;
    }

    /// Looks after what the proxy watches, once a second.
    ///
    /// This also keeps a timer running that is earlier than those of sessions. tokio writes to its eventfd whenever a
    /// timer is set before the one that it would sleep for, which otherwise is a system call for every connection.
    async fn beat(&self) {
        loop {
            sleep(BEAT).await;
            self.watch.tick();
        }
    }
}

/// The workers, ready to start. Dropping it sends them home.
#[derive(Debug, Default)]
pub(crate) struct Crew {
    here: Vec<Arc<Worker>>,
    threads: Vec<oneshot::Sender<()>>,
    working: TaskTracker,
}

impl Crew {
    /// Starts threads and their runtimes, so that nothing can fail later; they wait for [`start`](Self::start).
    pub(crate) fn gather(
        workers: Workers,
        signals: &Signals,
        watch: &Arc<Watch>,
    ) -> io::Result<(Self, Vec<Arc<Worker>>)> {
        let mut crew = Self {
            working: signals.working.clone(),
            ..Self::default()
        };
        let mut all = Vec::new();
        for number in 0..workers.count() {
            let worker = match workers {
                Workers::Here => {
                    let worker = Worker::new(signals, watch, Handle::current());
                    crew.here.push(Arc::clone(&worker));
                    worker
                }
                Workers::Threads(_) => {
                    let (worker, start) = crew.thread(number, signals, watch)?;
                    crew.threads.push(start);
                    worker
                }
            };
            all.push(worker);
        }
        Ok((crew, all))
    }

    fn thread(
        &self,
        number: usize,
        signals: &Signals,
        watch: &Arc<Watch>,
    ) -> io::Result<(Arc<Worker>, oneshot::Sender<()>)> {
        // The thread comes first: if it cannot be started, no runtime must be dropped here, because tokio panics when a
        // runtime is dropped inside of another.
        let (hand_over, handed_over) = std::sync::mpsc::channel::<(Runtime, _)>();
        thread::Builder::new()
            .name(format!("lb-worker-{number}"))
            .spawn(move || {
                if let Ok((runtime, work)) = handed_over.recv() {
                    runtime.block_on(work);
                }
            })?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let worker = Worker::new(signals, watch, runtime.handle().clone());
        let (start, started) = oneshot::channel();
        let work = self.working.track_future({
            let worker = Arc::clone(&worker);
            async move {
                if started.await.is_ok() {
                    worker.work().await;
                }
            }
        });
        let handed_over = hand_over.send((runtime, work));
        handed_over.expect("the thread receives before it ends");
        Ok((worker, start))
    }

    /// Lets everybody work. Must run in the runtime that the workers [here](Workers::Here) belong to.
    pub(crate) fn start(self) {
        for worker in self.here {
            tokio::spawn(self.working.track_future(worker.work()));
        }
        for thread in self.threads {
            // Gone only if it panicked, which nothing here does.
            let _ = thread.send(());
        }
    }
}
