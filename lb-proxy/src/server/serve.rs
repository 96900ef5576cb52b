//! A running server: it serves until a shutdown is requested.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::select;

use super::budget::DescriptorBudget;
use super::handle::Handle;
use super::phase::Phase;
use super::report::DrainReport;
use super::server_state::ServerState;
use super::shutdown;
use super::worker_pool::WorkerPool;

/// A proxy with open sockets. Connections wait in the kernel's queue until [`run`](Self::run).
///
/// Dropping it, or the future of [`run`](Self::run), closes everything at once.
#[derive(Debug)]
#[must_use = "dropping a server closes its sockets"]
pub struct Server {
    pool: WorkerPool,
    state: Arc<ServerState>,
}

impl Server {
    pub(super) fn new(pool: WorkerPool, state: Arc<ServerState>) -> Self {
        state.active().descriptors().log();
        Self { pool, state }
    }

    /// The addresses listened on, in the order of the description, with the ports that the kernel chose.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.state.active().addrs()
    }

    /// How many sessions the process has descriptors for.
    pub fn descriptors(&self) -> DescriptorBudget {
        self.state.active().descriptors()
    }

    /// A handle that outlives [`run`](Self::run).
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.state))
    }

    /// Serves until `shutdown` completes or [`Handle::shutdown`] is called, then shuts down in [phases](Phase).
    /// `shutdown` is any future, such as that of a signal, of a channel or of tokio-util's `CancellationToken::cancelled`.
    ///
    /// 1. The server goes on accepting for the [`pre_stop_delay`](super::ProxyBuilder::pre_stop_delay).
    /// 2. It closes the listening sockets, and open sessions have the
    ///    [`drain_timeout`](super::ProxyBuilder::drain_timeout) to end by themselves.
    /// 3. It resets the remaining sessions over the [`close_spread`](super::ProxyBuilder::close_spread). A session delivers
    ///    what was acknowledged before its reset, until the spread is over.
    /// 4. What is left then ends as with [`Handle::abort`].
    ///
    /// Connections that the kernel had accepted when a socket is closed are served. The kernel resets a connection that is
    /// made between the last accept and the close.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> DrainReport {
        let context = &self.state.context;
        std::mem::take(&mut self.pool).run();
        context.signals.working.close();
        self.state.active().accept(&context.workers);
        self.state.phase.send_replace(Phase::Serving);
        select! {
            () = shutdown => {}
            () = context.signals.leave.cancelled() => {}
            () = context.signals.stop.cancelled() => {}
        }
        shutdown::run(&self.state).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let context = &self.state.context;
        context.signals.abort.cancel();
        // Closes the sockets now: handles may outlive the server.
        self.state.active().end();
        context.trackers.failures.flush();
    }
}
