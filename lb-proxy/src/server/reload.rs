//! Making a server what another description says.

use std::net::SocketAddr;

use tracing::info;

use crate::error::{BindError, ReloadError};
use crate::limits::Limits;
use crate::server::builder::Proxy;
use crate::server::opening::{Opening, PAUSE, Patience};
use crate::server::worker_pool::Workers;
use crate::server::{Farewell, Shared};
use crate::upstream::Upstream;

/// What a description asks for.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) openings: Vec<Opening>,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) workers: Workers,
    pub(crate) limits: Limits,
    /// Descriptors, those of the workers' runtimes included.
    pub(crate) reserve: u64,
    pub(crate) farewell: Farewell,
    patience: Patience,
}

impl Plan {
    /// What `proxy` asks of a server with `workers`.
    pub(crate) fn new(proxy: Proxy, workers: usize) -> Self {
        Self {
            upstreams: proxy.all_upstreams(),
            workers: proxy.workers,
            limits: proxy.limits,
            reserve: proxy.reserve_with(workers),
            farewell: proxy.farewell,
            patience: Patience::new(proxy.bind_timeout),
            openings: proxy.listeners.into_iter().map(Opening::new).collect(),
        }
    }

    /// Whether an attempt to open the listeners that ended with `error` is worth another one after a [`PAUSE`].
    pub(crate) fn may_try_again(&mut self, error: &BindError) -> bool {
        self.patience.allows(error, &self.openings)
    }

    /// Closes what was opened beside sockets that are in the way.
    pub(crate) fn close_those_beside(&mut self) {
        self.openings.iter_mut().for_each(Opening::close_if_beside);
    }
}

/// What a [reload](crate::Handle::reload) has changed.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reloaded {
    /// Listeners that are new.
    pub added: Vec<SocketAddr>,
    /// Listeners that kept their sockets.
    pub kept: Vec<SocketAddr>,
    /// Listeners of an address that stays, with other sockets: [`ipv6_only`](crate::Listener::ipv6_only) has changed.
    pub replaced: Vec<SocketAddr>,
    /// Listeners that accept no more. Their sockets are closed.
    pub removed: Vec<SocketAddr>,
    /// Whether other [`Workers`] were described, which takes a new server.
    pub workers_differ: bool,
}

/// See [`Handle::reload`](crate::Handle::reload).
pub(crate) async fn reload(shared: &Shared, proxy: Proxy) -> Result<Reloaded, ReloadError> {
    let _turn = shared.reloading.lock().await;
    let mut plan = Plan::new(proxy, shared.workers.len());
    let (reloaded, retired) = loop {
        let error = match shared.roster().apply(&mut plan, shared) {
            Ok(applied) => break applied,
            Err(error) => error,
        };
        match error {
            ReloadError::Bind(error) if plan.may_try_again(&error) => pause(shared).await,
            error => return Err(error),
        }
    };
    for retired in &retired {
        retired.closed().await;
        if !reloaded.replaced.contains(&retired.addr) {
            info!(listener = %retired.addr, "No longer listening");
        }
    }
    Ok(reloaded)
}

/// Sleeps in the server's runtime: the caller may be outside of any.
async fn pause(shared: &Shared) {
    let slept = shared.runtime.spawn(tokio::time::sleep(PAUSE));
    // It fails only if the runtime ends.
    let _ = slept.await;
}

/// Opens every listener of `plan`, which is the first one of its server.
pub(crate) fn open_all(
    plan: &mut Plan,
    workers: &[std::sync::Arc<crate::server::worker_pool::Worker>],
) -> Result<(), BindError> {
    let mut openings = plan.openings.iter_mut();
    openings.try_for_each(|opening| opening.open(workers, 0, None))
}
