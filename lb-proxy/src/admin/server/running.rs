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
use crate::admin::listening::ListeningAdmin;
use crate::admin::routes::RouteContext;
use crate::admin::settings::AdminSettings;
use crate::listener::inheritable::InheritableSockets;
use crate::net::unix::SocketFile;

/// How long the server waits after an error of the system before it tries again.
const PAUSE: Duration = Duration::from_secs(1);

/// A running admin server. Dropping it closes its socket and its connections.
#[derive(Debug)]
pub struct AdminServer {
    endpoint: Endpoint,
    socket: Arc<AdminSocket>,
    shared: Arc<ServerShared>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Dropping it removes the file of a unix socket.
    file: Option<SocketFile>,
}

impl AdminServer {
    pub(super) fn start(context: Arc<RouteContext>, listener: AdminListener) -> Self {
        let endpoint = listener.endpoint.clone();
        let shared = ServerShared::new(context, endpoint.clone(), &listener.rules);
        let shared = Arc::new(shared);
        info!(listener = %endpoint, "Admin server listening");
        let mut server = Self {
            endpoint,
            socket: Arc::new(listener.socket),
            shared,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            file: listener.file,
        };
        server.tasks.close();
        server.run();
        server
    }

    fn run(&mut self) {
        let (socket, shared) = (Arc::clone(&self.socket), Arc::clone(&self.shared));
        self.stop = CancellationToken::new();
        self.tasks.spawn(run(socket, shared, self.stop.clone()));
    }

    /// Closes its connections and accepts no more. The socket stays open: clients wait in the kernel's queue until the server
    /// [resumes](Self::resume) or another process serves them.
    pub fn pause(&mut self) {
        self.stop.cancel();
    }

    /// Serves again after a [`pause`](Self::pause).
    ///
    /// # Panics
    ///
    /// Outside of a runtime, after a pause.
    pub fn resume(&mut self) {
        if self.stop.is_cancelled() {
            self.run();
        }
    }

    /// A duplicate of its socket, for another process to [inherit](AdminListener::inherit).
    ///
    /// # Errors
    ///
    /// The process has no free descriptors.
    pub fn listening_socket(&self) -> io::Result<InheritableSockets> {
        let socket = self.socket.duplicate()?;
        let endpoint = self.endpoint.clone();
        Ok(InheritableSockets::new(endpoint, vec![socket], None, false))
    }

    /// Sets whether the file of its unix socket is left at the end, because another process serves the socket. Default: no,
    /// except for an [inherited](AdminListener::inherit) socket.
    pub fn keep_file(&mut self, keep: bool) {
        if let Some(file) = &mut self.file {
            file.keep(keep);
        }
    }

    /// What it listens on, with the port that the kernel chose.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Where it listens, for a server that [replaces](AdminListener::open_beside) it.
    pub fn listening(&self) -> ListeningAdmin {
        ListeningAdmin {
            endpoint: self.endpoint.clone(),
            socket: Arc::downgrade(&self.socket),
            file: self.file.as_ref().and_then(SocketFile::id),
        }
    }

    /// Applies the token, the networks, the names and the group of `settings`, which must be of the same address: to
    /// requests from now on, those of open connections included. A client that another group admitted to a unix socket has to
    /// connect again.
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
        let before = self.shared.rules();
        if rules.group != before.group {
            self.socket.refuse_waiting();
        }
        self.shared.set_rules(&rules);
        let change = match (&before.token, &rules.token) {
            (Some(_), None) => Some("removed"),
            (None, Some(_)) => Some("set"),
            (Some(before), Some(now)) if before != now => Some("replaced"),
            _ => None,
        };
        if let Some(change) = change {
            info!(endpoint = %self.endpoint, change, "Admin token changed");
        }
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
async fn run(socket: Arc<AdminSocket>, shared: Arc<ServerShared>, stop: CancellationToken) {
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
