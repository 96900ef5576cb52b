//! Who does the work: tasks on the embedder's runtime, or threads with a runtime and listening sockets of their own.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::select;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::entrance::Entrance;
use crate::metrics::Counters;
use crate::server::Signals;
use crate::session::{Door, accept};

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
    /// All its sessions end now. A token of its own, so that sessions of different workers do not queue for one lock.
    pub(crate) abort: CancellationToken,
    pub(crate) stop: CancellationToken,
    pub(crate) sessions: TaskTracker,
    accepting: TaskTracker,
}

impl Worker {
    pub(crate) fn new(signals: &Signals) -> Arc<Self> {
        Arc::new(Self {
            counters: Arc::default(),
            abort: signals.abort.child_token(),
            stop: signals.stop.child_token(),
            sessions: TaskTracker::new(),
            accepting: signals.accepting.clone(),
        })
    }

    /// Accepts until told to stop, then waits for the last session.
    async fn work(self: Arc<Self>, doors: Vec<Door>) {
        for door in doors {
            tokio::spawn(self.accepting.track_future(accept(door, Arc::clone(&self))));
        }
        select! {
            () = self.stop.cancelled() => {}
            () = beat() => {}
        }
        self.accepting.wait().await;
        self.sessions.close();
        self.sessions.wait().await;
    }
}

/// Keeps a timer running that is earlier than those of sessions. tokio writes to its eventfd whenever a timer is set
/// before the one that it would sleep for, which otherwise is a system call for every connection.
async fn beat() {
    loop {
        sleep(BEAT).await;
    }
}

/// The workers, ready to start. Dropping it sends them home.
#[derive(Debug, Default)]
pub(crate) struct Crew {
    here: Vec<(Arc<Worker>, Vec<Door>)>,
    threads: Vec<oneshot::Sender<()>>,
    working: TaskTracker,
}

impl Crew {
    /// Takes each worker's sockets, one for each entrance. Threads and their runtimes are started, so that nothing
    /// can fail later; they wait for [`start`](Self::start).
    pub(crate) fn gather(
        workers: Workers,
        entrances: Vec<(Arc<Entrance>, Vec<std::net::TcpListener>)>,
        signals: &Signals,
    ) -> io::Result<(Self, Vec<Arc<Worker>>)> {
        let mut crew = Self {
            working: signals.working.clone(),
            ..Self::default()
        };
        let mut entrances: Vec<_> = entrances
            .into_iter()
            .map(|(entrance, sockets)| (entrance, sockets.into_iter()))
            .collect();
        let mut all = Vec::new();
        for number in 0..workers.count() {
            let worker = Worker::new(signals);
            let sockets = entrances.iter_mut().filter_map(|(entrance, sockets)| {
                sockets.next().map(|socket| (Arc::clone(entrance), socket))
            });
            match workers {
                Workers::Here => {
                    let doors = open_doors(sockets)?;
                    crew.here.push((Arc::clone(&worker), doors));
                }
                Workers::Threads(_) => {
                    let runtime = Builder::new_current_thread().enable_all().build()?;
                    let doors = {
                        let _inside = runtime.enter();
                        open_doors(sockets)
                    };
                    // Dropped here, a runtime would wait, which an asynchronous caller must not.
                    let doors = match doors {
                        Ok(doors) => doors,
                        Err(error) => {
                            runtime.shutdown_background();
                            return Err(error);
                        }
                    };
                    let start = crew.thread(number, runtime, Arc::clone(&worker), doors)?;
                    crew.threads.push(start);
                }
            }
            all.push(worker);
        }
        Ok((crew, all))
    }

    fn thread(
        &self,
        number: usize,
        runtime: Runtime,
        worker: Arc<Worker>,
        doors: Vec<Door>,
    ) -> io::Result<oneshot::Sender<()>> {
        let (start, started) = oneshot::channel();
        let work = self.working.track_future(async move {
            if started.await.is_ok() {
                worker.work(doors).await;
            }
        });
        thread::Builder::new()
            .name(format!("lb-worker-{number}"))
            .spawn(move || runtime.block_on(work))?;
        Ok(start)
    }

    /// Lets everybody work. Must run in the runtime that the workers [here](Workers::Here) belong to.
    pub(crate) fn start(self) {
        for (worker, doors) in self.here {
            tokio::spawn(self.working.track_future(worker.work(doors)));
        }
        for thread in self.threads {
            // Gone only if it panicked, which nothing here does.
            let _ = thread.send(());
        }
    }
}

fn open_doors(
    sockets: impl Iterator<Item = (Arc<Entrance>, std::net::TcpListener)>,
) -> io::Result<Vec<Door>> {
    sockets
        .map(|(entrance, socket)| Door::open(entrance, socket))
        .collect()
}
