//! From a description to a server with open sockets.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::sleep;

use super::active_config::ActiveConfig;
use super::bind_retry::RETRY_PAUSE;
use super::context::ServerContext;
use super::desired_state::DesiredState;
use super::proxy::Proxy;
use super::serve::Server;
use super::server_state::ServerState;
use super::worker_pool::WorkerPool;
use crate::error::BindError;
use crate::state::shutdown::ShutdownSignals;
use crate::state::trackers::Trackers;
use crate::state::worker::Worker;

impl Proxy {
    /// Opens the listening sockets, starts the workers and begins to follow the upstreams' sources.
    ///
    /// Must run in a Tokio runtime with I/O and time enabled. Everything that the [workers](super::ProxyBuilder::workers)
    /// do not do runs in it.
    ///
    /// # Errors
    ///
    /// The first address that cannot be listened on, after the [`bind_timeout`](super::ProxyBuilder::bind_timeout), or the
    /// first worker that cannot be started. Nothing stays open then.
    pub async fn bind(self) -> Result<Server, BindError> {
        let signals = ShutdownSignals::new();
        let trackers = Arc::new(Trackers::new());
        let (pool, workers) = WorkerPool::start(self.workers, &signals, &trackers)
            .map_err(|source| BindError::Worker { source })?;
        let mut desired = DesiredState::new(self, workers.len());
        while let Err(error) = open_all(&mut desired, &workers) {
            if !desired.may_retry(&error) {
                return Err(error);
            }
            sleep(RETRY_PAUSE).await;
        }
        let active = ActiveConfig::new(desired, workers.len(), &signals, &trackers);
        let context = ServerContext {
            workers,
            signals,
            trackers,
            runtime: Handle::current(),
        };
        Ok(Server::new(pool, ServerState::new(context, active)))
    }
}

/// Opens every listener of `desired`.
fn open_all(desired: &mut DesiredState, workers: &[Arc<Worker>]) -> Result<(), BindError> {
    (0..desired.listeners.len()).try_for_each(|number| {
        let beside = desired.relax_beside(number, 0);
        desired.listeners[number].open(workers, 0, beside, None)
    })
}
