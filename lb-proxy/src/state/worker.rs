//! One worker: its runtime, its counters, its sessions.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::select;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::listener_table::ListenerTable;
use super::lost_addresses::LostAddresses;
use super::shutdown::ShutdownSignals;
use super::trackers::Trackers;
use crate::live_sessions::table::SessionTable;
use crate::metrics::Counters;
use crate::net::acceptor::Acceptor;
use crate::net::stream::Transport;

/// The period of [`Trackers::tick`]. Shorter than most time-outs of sessions, and rare enough not to wake an idle machine
/// noticeably.
const TICK: Duration = Duration::from_secs(1);

/// How many cohorts the sessions of a worker form. A shutdown resets one cohort after the other.
pub(crate) const COHORTS: usize = 64;

/// The state of one worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) counters: Arc<Counters>,
    trackers: Arc<Trackers>,
    /// The listeners that a session may be passed to. Each worker has its own table, so that workers share no lock.
    pub(crate) listeners: ListenerTable,
    /// One token a cohort; children of `abort`. Each worker has its own, so that sessions of different workers do not
    /// contend for one lock.
    cohorts: Box<[Mutex<CancellationToken>]>,
    /// Sessions end without waiting for anything. The parent of the cohorts.
    pub(crate) abort: CancellationToken,
    /// No more connections are accepted.
    pub(crate) stop: CancellationToken,
    pub(crate) sessions: TaskTracker,
    pub(crate) live: Arc<SessionTable>,
    accepting: TaskTracker,
    runtime: Handle,
}

impl Worker {
    /// The worker with this number, counted from 0.
    pub(crate) fn new(
        number: usize,
        signals: &ShutdownSignals,
        trackers: &Arc<Trackers>,
        live: Arc<SessionTable>,
        runtime: Handle,
    ) -> Arc<Self> {
        let abort = signals.abort.child_token();
        let cohorts = (0..COHORTS).map(|_| Mutex::new(abort.child_token()));
        Arc::new(Self {
            counters: Arc::new(Counters::of_worker(number)),
            trackers: Arc::clone(trackers),
            listeners: ListenerTable::default(),
            cohorts: cohorts.collect(),
            abort,
            runtime,
            stop: signals.stop.child_token(),
            sessions: TaskTracker::new(),
            live,
            accepting: signals.accepting.clone(),
        })
    }

    /// The number of the cohort of the session that was accepted last.
    pub(super) fn last_cohort(&self) -> usize {
        self.counters.accepted.get() as usize % COHORTS
    }

    /// The token of a cohort. When it is cancelled and the next one is not, the sessions of the cohort were only
    /// [asked](Self::ask_cohort).
    pub(super) fn cohort_token(&self, number: usize) -> CancellationToken {
        self.cohort(number).clone()
    }

    /// Lets the sessions of the cohort with this number, below [`COHORTS`], look whether their local address is lost.
    ///
    /// Idle sessions wait for the token of their cohort anyway, so a question costs them nothing until it is asked.
    pub(crate) fn ask_cohort(&self, number: usize) {
        let mut cohort = self.cohort(number);
        if !cohort.is_cancelled() {
            let asked = std::mem::replace(&mut *cohort, self.abort.child_token());
            drop(cohort);
            asked.cancel();
        }
    }

    /// The local addresses that have left the machine.
    pub(crate) fn lost_addresses(&self) -> &LostAddresses {
        &self.trackers.lost_addresses
    }

    /// Resets the sessions of the cohort with this number, below [`COHORTS`].
    pub(crate) fn cut_off_cohort(&self, number: usize) {
        self.cohort(number).cancel();
    }

    /// Gives new tokens to the cohorts that were reset, for sessions that begin from now on.
    pub(crate) fn renew_cohorts(&self) {
        for number in 0..COHORTS {
            let mut cohort = self.cohort(number);
            if cohort.is_cancelled() {
                *cohort = self.abort.child_token();
            }
        }
    }

    /// No code that can panic runs under the lock.
    fn cohort(&self, number: usize) -> MutexGuard<'_, CancellationToken> {
        let cohort = self.cohorts[number].lock();
        cohort.unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a listening socket with the worker's runtime.
    pub(crate) fn register(
        &self,
        socket: OwnedFd,
        transport: Transport,
    ) -> io::Result<Arc<Acceptor>> {
        let _inside = self.runtime.enter();
        Acceptor::new(socket, transport).map(Arc::new)
    }

    /// Spawns an accept loop on the worker's runtime. `loops` tracks those of one listener.
    pub(crate) fn spawn_accept_loop(
        &self,
        accept_loop: impl Future<Output = ()> + Send + 'static,
        loops: &TaskTracker,
    ) {
        let accepting = self.accepting.track_future(accept_loop);
        self.runtime.spawn(loops.track_future(accepting));
    }

    /// A task on the worker's runtime that ends as soon as it runs.
    pub(crate) fn answer(&self) -> JoinHandle<()> {
        self.runtime.spawn(async {})
    }

    /// Runs until `stop` is cancelled, then waits for the last session.
    pub(crate) async fn run(self: Arc<Self>) {
        select! {
            () = self.stop.cancelled() => {}
            () = self.tick() => {}
        }
        self.accepting.wait().await;
        self.sessions.close();
        self.sessions.wait().await;
    }

    /// Ticks the trackers.
    ///
    /// This also keeps a timer pending that is earlier than those of sessions. tokio writes to its eventfd whenever a timer
    /// is set before the one that the runtime sleeps for; without this timer every connection would cost that system call.
    async fn tick(&self) {
        loop {
            sleep(TICK).await;
            self.trackers.tick();
        }
    }
}
