//! Accept: connections become sessions.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
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

use crate::failures::Pause;
use crate::limits::Excess;
use crate::metrics::Counters;
use crate::net::acceptor::Acceptor;
use crate::net::stream::Stream;
use crate::server::worker_pool::Worker;
use crate::session::Session;
use crate::state::listener::Entrance;

/// How long accepting pauses when the process is out of descriptors or memory: at first, and at the most. Long
/// enough not to spin, short enough that the kernel's queue of connections does not overflow.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// One worker's socket of a listener.
#[derive(Debug)]
pub(crate) struct Door {
    entrance: Arc<Entrance>,
    socket: Arc<Acceptor>,
    /// Nobody is to come in by this door any more; another may have its socket.
    closed: CancellationToken,
    /// Nobody has the socket after this door; a parent of `closed`.
    last: CancellationToken,
}

/// Accepts until the door is closed. Failures are counted and waited out; accepting never ends by itself.
///
/// Whoever waits for a limit then is not turned away, nor is whoever has connected when the socket is about to be closed.
pub(crate) async fn accept(door: Door, worker: Arc<Worker>) {
    let closed = door.closed.clone();
    let mut closed = pin!(closed.cancelled());
    loop {
        let accepted = select! {
            biased;
            () = &mut closed => break,
            accepted = door.next(&worker.counters) => accepted,
        };
        let mut session = door.welcome(accepted, &worker.counters);
        let entered = select! {
            biased;
            entered = session.slot.enter() => entered,
            () = &mut closed => {
                worker.sessions.spawn(session.enter_and_serve(Arc::clone(&worker)));
                break;
            }
        };
        match entered {
            Ok(()) => drop(worker.sessions.spawn(session.serve(Arc::clone(&worker)))),
            Err(reason) => session.close(Err(reason), &worker.counters),
        }
        // One at a time, as nginx does: in a burst, sessions that have begun come before those that are new.
        yield_now().await;
    }
    if door.last.is_cancelled() {
        while let Some(accepted) = door.next_waiting().await {
            let session = door.welcome(accepted, &worker.counters);
            let served = session.enter_and_serve(Arc::clone(&worker));
            worker.sessions.spawn(served);
        }
    }
}

impl Door {
    pub(crate) const fn new(
        entrance: Arc<Entrance>,
        socket: Arc<Acceptor>,
        closed: CancellationToken,
        last: CancellationToken,
    ) -> Self {
        Self {
            entrance,
            socket,
            closed,
            last,
        }
    }

    fn welcome(&self, (client, peer): (Stream, SocketAddr), counters: &Counters) -> Session {
        counters.accepted.increment();
        counters.active.increment();
        Session::new(client, peer, &self.entrance)
    }

    /// The next connection that waits in the kernel's queue already.
    async fn next_waiting(&self) -> Option<(Stream, SocketAddr)> {
        let accept = poll_fn(|cx| match self.socket.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
            Poll::Pending => Poll::Ready(None),
        });
        unconstrained(accept).await
    }

    /// The next connection, once there is room for it.
    ///
    /// Cancel-safe: a connection that was accepted is returned.
    async fn next(&self, counters: &Counters) -> (Stream, SocketAddr) {
        self.room(counters).await;
        let mut pause = PAUSE.0;
        loop {
            let error = match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => error,
            };
            if is_of_one_connection(&error) {
                counters.accept_errors.increment();
                debug!(listener = %self.entrance.addr, %error, "Connection lost before it was accepted");
                continue;
            }
            counters.accept_exhausted.increment();
            self.entrance.note_pause(Pause::Shortage, Some(&error));
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Completes when no limit that connections wait for is reached.
    async fn room(&self, counters: &Counters) {
        for (gate, excess) in self.entrance.gates() {
            if excess == Excess::Wait && gate.is_shut() {
                counters.accept_pauses.increment();
                self.entrance.opened(gate).await;
            }
        }
    }
}

/// Whether the kernel reports the failure of a connection that had not been accepted yet: the next may be fine. The
/// list is that of accept(2).
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
