//! A running admin server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lb_core::Endpoint;
use tokio::select;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use super::shared::ServerShared;
use super::thread::serve_on_a_thread;
use crate::admin::listener::{AdminListener, AdminSocket, set_owner};
use crate::admin::routes::RouteContext;
use crate::admin::settings::AdminSettings;

/// How long the server waits after an error of the system before it tries again.
const PAUSE: Duration = Duration::from_secs(1);

/// A running admin server. Dropping it closes its socket and its connections.
#[derive(Debug)]
pub struct AdminServer {
    endpoint: Endpoint,
    shared: Arc<ServerShared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl AdminServer {
    pub(super) fn start(context: Arc<RouteContext>, listener: AdminListener) -> Self {
        let shared = Arc::new(ServerShared::new(context, &listener.rules));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let endpoint = listener.endpoint.clone();
        info!(listener = %endpoint, "Admin server listening");
        tasks.spawn(run(listener, Arc::clone(&shared), stop.clone()));
        tasks.close();
        Self {
            endpoint,
            shared,
            stop,
            tasks,
        }
    }

    /// What it listens on, with the port that the kernel chose.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Applies the token, the networks, the names and the group of `settings`, which must be of the same address: to
    /// requests from now on, those of open connections included.
    ///
    /// # Errors
    ///
    /// Why the group or the permissions of a unix socket cannot be changed. All else is applied then, and the next call
    /// tries the group again.
    pub fn update(&self, settings: &AdminSettings) -> io::Result<()> {
        let mut rules = settings.rules.clone();
        let current = self.shared.rules().group;
        let owned = match &self.endpoint {
            Endpoint::Unix(path) if rules.group != current => set_owner(path, settings),
            _ => Ok(()),
        };
        if owned.is_err() {
            rules.group = current;
        }
        self.shared.set_rules(&rules);
        owned
    }

    /// Stops it. Completes when the socket is closed and no request runs.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Waits for clients on the current runtime, and lets a thread serve them while there are some.
async fn run(listener: AdminListener, shared: Arc<ServerShared>, stop: CancellationToken) {
    let AdminListener { socket, _file, .. } = listener;
    let socket = Arc::new(socket);
    while !stop.is_cancelled() {
        let served = async {
            select! {
                called = client_waits(&socket) => called?,
                () = stop.cancelled() => return Ok(()),
            }
            serve_on_a_thread(Arc::clone(&socket), Arc::clone(&shared), stop.clone()).await
        };
        if let Err(error) = served.await {
            error!(%error, "Admin server paused");
            select! {
                () = sleep(PAUSE) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// Completes when a client has connected. The runtime does not watch the socket afterwards.
async fn client_waits(socket: &AdminSocket) -> io::Result<()> {
    let watched = socket.watch()?;
    watched.readable().await.map(drop)
}
