//! A running listener: its sockets, and the accept loops of its current description.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::Endpoint;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::accept_loop::AcceptLoop;
use super::bind::BindConfig;
use super::covered::CoveredListeners;
use super::description::Listener;
use super::inheritable::InheritableSockets;
use super::sockets::ListenerSockets;
use crate::state::listener::ListenerState;
use crate::state::proxy::ProxyState;
use crate::state::shutdown::ShutdownSignals;
use crate::state::worker::Worker;

/// A listener with open sockets.
#[derive(Debug)]
pub(crate) struct RunningListener {
    /// The address of its first description, perhaps with port 0.
    described: SocketAddr,
    /// What its current description says of the sockets.
    bind: BindConfig,
    state: Arc<ListenerState>,
    pub(crate) sockets: ListenerSockets,
    /// Cancelled when the sockets are closed.
    closing: CancellationToken,
    /// Cancels the current accept loops; a child of `closing`.
    current: CancellationToken,
    /// The accept loops. Each holds a socket.
    accept_loops: TaskTracker,
    /// Whether loops of the current description accept.
    accepts: bool,
}

impl RunningListener {
    /// A listener without accept loops.
    pub(crate) fn new(
        listener: Listener,
        sockets: ListenerSockets,
        proxy: &Arc<ProxyState>,
        signals: &ShutdownSignals,
    ) -> Self {
        let (described, bind) = (listener.addr(), *listener.bind_config());
        let (limits, route, servers) = listener.into_parts();
        let closing = signals.stop.child_token();
        Self {
            described,
            bind,
            state: ListenerState::new(sockets.bound.addr, route, servers, limits, proxy),
            sockets,
            current: closing.child_token(),
            closing,
            accept_loops: TaskTracker::new(),
            accepts: false,
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.state.addr
    }

    pub(crate) const fn state(&self) -> &Arc<ListenerState> {
        &self.state
    }

    /// The addresses by which a description may name it: that of its own description, and the one with the chosen port.
    pub(crate) fn names(&self) -> [SocketAddr; 2] {
        [self.described, self.state.addr]
    }

    /// What it listens on.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.state.endpoint()
    }

    pub(crate) fn log(&self) {
        let upstream = self.state.route.upstream.name();
        info!(listener = %self.endpoint(), upstream, "Listening");
    }

    /// Whether loops of the current description accept.
    pub(crate) const fn accepts(&self) -> bool {
        self.accepts
    }

    /// Spawns an accept loop on each worker. `covered` are the listeners without a socket that it accepts for.
    pub(crate) fn spawn_accept_loops(
        &mut self,
        workers: &[Arc<Worker>],
        covered: &Arc<CoveredListeners>,
    ) {
        self.accepts = true;
        let sockets = self.sockets.acceptors.iter();
        for (socket, worker) in sockets.zip(workers.iter().cycle()) {
            let accept_loop = AcceptLoop::new(
                Arc::clone(&self.state),
                Arc::clone(covered),
                Arc::clone(socket),
                self.current.clone(),
                self.closing.clone(),
            );
            let running = accept_loop.run(Arc::clone(worker));
            worker.spawn_accept_loop(running, &self.accept_loops);
        }
    }

    /// Applies the description to sockets that another process opened. Returns whether there were any.
    pub(crate) fn settle(&mut self) -> bool {
        let settled = self.sockets.settle(&self.state.route);
        settled.unwrap_or_else(|error| {
            warn!(listener = %self.endpoint(), %error, "Socket options not applied");
            true
        })
    }

    /// Ends the accept loops, and keeps the sockets open: connections wait in the kernel's queues.
    pub(crate) fn pause(&mut self) {
        self.current.cancel();
        self.current = self.closing.child_token();
        self.accepts = false;
    }

    /// Duplicates of its sockets.
    pub(crate) fn duplicate(&self) -> io::Result<Option<InheritableSockets>> {
        self.sockets.duplicate(self.endpoint())
    }

    /// Whether the description is the one that it runs with, so that nothing has to change. Functions and hooks are compared by
    /// their addresses. O(settings), without a system call.
    pub(crate) fn is_same_as(&self, listener: &Listener, proxy: &Arc<ProxyState>) -> bool {
        let Listener {
            bind,
            binds: _, // by `can_keep`
            taken,
            mode: _, // of sockets to open
            opener: _,
            limits,
            route,
            virtual_servers,
        } = listener;
        *bind == self.bind
            && taken.is_none()
            && self
                .state
                .is_same_as(route, virtual_servers, *limits, proxy)
    }

    /// Applies another description to the same sockets, and cancels the current accept loops.
    pub(crate) fn with_description(mut self, listener: Listener, proxy: &Arc<ProxyState>) -> Self {
        if let Err(error) = listener.apply(&mut self.sockets) {
            warn!(listener = %self.endpoint(), %error, "Socket options not applied");
        }
        let bind = *listener.bind_config();
        let (limits, route, servers) = listener.into_parts();
        self.current.cancel();
        Self {
            bind,
            accepts: false,
            state: self.state.with_route(route, servers, limits, proxy),
            current: self.closing.child_token(),
            ..self
        }
    }

    /// Begins the time that its sessions may go on because a reload removes it.
    pub(crate) fn remove(&self) {
        self.state.remove();
    }

    /// Cancels the accept loops. Each serves the connections that the kernel has queued, and then closes its socket.
    pub(crate) fn close(self) -> ClosingListener {
        self.closing.cancel();
        self.accept_loops.close();
        ClosingListener {
            endpoint: self.state.endpoint(),
            accept_loops: self.accept_loops,
        }
    }
}

/// A listener that is about to close its sockets.
#[derive(Debug)]
pub(crate) struct ClosingListener {
    pub(crate) endpoint: Endpoint,
    accept_loops: TaskTracker,
}

impl ClosingListener {
    /// Completes when its sockets are closed. Cancel-safe.
    pub(crate) async fn closed(&self) {
        self.accept_loops.wait().await;
    }
}
