//! A listener at work: its sockets, and the accept loops of its present description.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::listener::accept_loop::Door;
use crate::listener::{Held, Listener};
use crate::server::Signals;
use crate::server::worker_pool::Worker;
use crate::state::listener::{Building, Entrance};

/// A listener at work.
#[derive(Debug)]
pub(crate) struct Post {
    /// The address it was described with.
    described: SocketAddr,
    entrance: Arc<Entrance>,
    pub(crate) held: Held,
    /// The sockets are given up.
    retired: CancellationToken,
    /// The present doors close; a child of `retired`.
    shift: CancellationToken,
    /// The accept loops. Each holds a socket.
    doors: TaskTracker,
}

impl Post {
    pub(crate) fn new(
        listener: Listener,
        held: Held,
        building: &Arc<Building>,
        signals: &Signals,
    ) -> Self {
        let described = listener.addr();
        let (limits, route) = listener.into_parts();
        let retired = signals.stop.child_token();
        Self {
            described,
            entrance: Entrance::new(held.listening.addr, route, limits, building),
            held,
            shift: retired.child_token(),
            retired,
            doors: TaskTracker::new(),
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.entrance.addr
    }

    /// The addresses by which a description may mean it.
    pub(crate) fn known_as(&self) -> [SocketAddr; 2] {
        [self.described, self.entrance.addr]
    }

    pub(crate) fn log(&self) {
        let Entrance { addr, route, .. } = &*self.entrance;
        info!(listener = %addr, upstream = route.upstream.name(), "Listening");
    }

    /// Opens a door for each worker.
    pub(crate) fn man(&self, workers: &[Arc<Worker>]) {
        for (socket, worker) in self.held.sockets.iter().zip(workers) {
            let door = Door::new(
                Arc::clone(&self.entrance),
                Arc::clone(socket),
                self.shift.clone(),
                self.retired.clone(),
            );
            worker.attend(door, &self.doors);
        }
    }

    /// The same sockets for another description. The doors that there are close.
    pub(crate) fn changed(mut self, listener: Listener, building: &Arc<Building>) -> Self {
        if let Err(error) = listener.apply(&mut self.held) {
            warn!(listener = %self.entrance.addr, %error, "Socket options stay as they were");
        }
        let (limits, route) = listener.into_parts();
        self.shift.cancel();
        Self {
            entrance: self.entrance.changed(route, limits, building),
            shift: self.retired.child_token(),
            ..self
        }
    }

    /// Ends its accept loops, which serve what the kernel has queued. Each closes its socket.
    pub(crate) fn retire(self) -> Retired {
        self.retired.cancel();
        self.doors.close();
        Retired {
            addr: self.entrance.addr,
            doors: self.doors,
        }
    }
}

/// A listener whose sockets are about to be closed.
#[derive(Debug)]
pub(crate) struct Retired {
    pub(crate) addr: SocketAddr,
    doors: TaskTracker,
}

impl Retired {
    /// Completes when its sockets are closed. Cancel-safe.
    pub(crate) async fn closed(&self) {
        self.doors.wait().await;
    }
}
