//! The accept loop: accepts the connections of one worker's socket of a listener and starts their sessions.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;
use tokio::select;
use tokio::task::coop::unconstrained;
use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::covered::CoveredListeners;
use crate::failures::kind::AcceptPause;
use crate::limits::Excess;
use crate::limits::session_limit::SessionLimit;
use crate::metrics::Counters;
use crate::net::acceptor::{Accepted, Acceptor};
use crate::session::Session;
use crate::state::listener::ListenerState;
use crate::state::worker::Worker;

/// How long accepting pauses when accept(2) fails for want of descriptors or memory (`EMFILE`, `ENFILE`, `ENOBUFS`,
/// `ENOMEM`): the first pause, and the longest. Long enough not to spin, short enough that the kernel's queue of
/// connections does not overflow.
const SHORTAGE_PAUSE: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_millis(500));

/// How many connections are accepted in a row before the sessions that have begun run (nginx: 1, HAProxy: 4). Each turn of
/// the runtime costs processor time, and each connection delays the open sessions.
const IN_A_ROW: usize = 2;

/// Accepts connections of one listener on one worker.
#[derive(Debug)]
pub(crate) struct AcceptLoop {
    listener: Arc<ListenerState>,
    /// The listeners without a socket, whose connections this socket accepts as well.
    covered: Arc<CoveredListeners>,
    socket: Arc<Acceptor>,
    /// Cancelled when this loop must end. Another loop may take over the socket.
    cancel: CancellationToken,
    /// Cancelled when the socket is closed and no other loop takes over. A parent of `cancel`.
    closing: CancellationToken,
}

impl AcceptLoop {
    pub(crate) const fn new(
        listener: Arc<ListenerState>,
        covered: Arc<CoveredListeners>,
        socket: Arc<Acceptor>,
        cancel: CancellationToken,
        closing: CancellationToken,
    ) -> Self {
        Self {
            listener,
            covered,
            socket,
            cancel,
            closing,
        }
    }

    /// Runs the accept loop until it is cancelled. Failures of accept(2) are counted and retried; they never end it.
    ///
    /// Connections that wait for a limit when the loop is cancelled, or that the kernel had queued when the socket closes,
    /// are still served.
    pub(crate) async fn run(self, worker: Arc<Worker>) {
        let cancel = self.cancel.clone();
        let mut cancelled = pin!(cancel.cancelled());
        // What accept(2) returned while the session before began.
        let mut following = None;
        let mut in_a_row = 0;
        loop {
            let accepted = select! {
                biased;
                () = &mut cancelled => break,
                accepted = self.next(&mut following, &worker.counters) => accepted,
            };
            let mut session = self.start_session(accepted, &worker);
            let acquired = select! {
                biased;
                acquired = session.permit.acquire() => acquired,
                () = &mut cancelled => {
                    worker.sessions.spawn(session.acquire_and_serve(Arc::clone(&worker)));
                    break;
                }
            };
            match acquired {
                Ok(()) => {
                    // Boxed, because a spawned future is moved several times, and once more at its end.
                    let served = Box::pin(session.serve(Arc::clone(&worker)));
                    drop(worker.sessions.spawn(served));
                }
                Err(reason) => session.close(Err(reason), &worker),
            }
            following = self.accept_now();
            in_a_row = following.as_ref().map_or(0, |_| in_a_row + 1);
            if in_a_row == IN_A_ROW {
                in_a_row = 0;
                yield_now().await;
            }
        }
        if let Some(Ok(accepted)) = following {
            self.serve_last(accepted, &worker);
        }
        if self.closing.is_cancelled() {
            while let Some(accepted) = self.next_queued().await {
                self.serve_last(accepted, &worker);
            }
        }
    }

    /// Serves a connection of a loop that has ended.
    fn serve_last(&self, accepted: Accepted, worker: &Arc<Worker>) {
        let session = self.start_session(accepted, worker);
        let served = session.acquire_and_serve(Arc::clone(worker));
        worker.sessions.spawn(served);
    }

    fn start_session(&self, (client, peer): Accepted, worker: &Worker) -> Session {
        let counters = &worker.counters;
        counters.accepted.increment();
        let listener = self.covered.listener_of(&client, &self.listener);
        if let Some(detailed) = listener.counters() {
            detailed.accepted(counters.worker);
        }
        Session::new(worker.live.next_id(), client, peer, listener)
    }

    /// Accepts a connection that is in the kernel's queue, unless it has to wait there for a limit.
    ///
    /// To ask for it costs an accept(2) that the loop would make anyway. To yield without asking would cost a turn of the
    /// runtime as well, an epoll_wait(2) included.
    fn accept_now(&self) -> Option<io::Result<Accepted>> {
        let waits =
            |(limit, excess): (&SessionLimit, Excess)| excess == Excess::Wait && limit.is_reached();
        match self.listener.session_limits().any(waits) {
            true => None,
            false => self.socket.accept_now(),
        }
    }

    /// The next connection in the kernel's queue, without waiting.
    async fn next_queued(&self) -> Option<Accepted> {
        let accept = poll_fn(|cx| match self.socket.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
            Poll::Pending => Poll::Ready(None),
        });
        unconstrained(accept).await
    }

    /// The next connection: the `following` one, or another once the limits admit it.
    ///
    /// Cancel-safe: no accepted connection is lost.
    async fn next(
        &self,
        following: &mut Option<io::Result<Accepted>>,
        counters: &Counters,
    ) -> Accepted {
        if following.is_none() {
            self.wait_for_limits(counters).await;
        }
        let mut pause = SHORTAGE_PAUSE.0;
        loop {
            let accepted = match following.take() {
                Some(accepted) => accepted,
                None => self.socket.accept().await,
            };
            let error = match accepted {
                Ok(accepted) => return accepted,
                Err(error) => error,
            };
            if is_of_one_connection(&error) {
                counters.accept_errors.increment();
                debug!(listener = %self.listener.endpoint(), %error, "Connection lost before it was accepted");
                continue;
            }
            counters.accept_exhausted.increment();
            self.listener.pause(AcceptPause::Shortage, Some(&error));
            sleep(pause).await;
            pause = (pause * 2).min(SHORTAGE_PAUSE.1);
        }
    }

    /// Completes when no session limit that makes connections wait is reached.
    async fn wait_for_limits(&self, counters: &Counters) {
        for (limit, excess) in self.listener.session_limits() {
            if excess == Excess::Wait && limit.is_reached() {
                counters.accept_pauses.increment();
                self.listener.wait_for(limit).await;
            }
        }
    }
}

/// Whether `error` is the failure of one connection that had not been accepted yet, so that the next accept may succeed.
/// The list is that of accept(2).
fn is_of_one_connection(error: &io::Error) -> bool {
    const OF_ONE: [Errno; 11] = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::NONET,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::PERM,
        Errno::PROTO,
    ];
    Errno::from_io_error(error).is_some_and(|errno| OF_ONE.contains(&errno))
}
