//! A running admin server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lb_core::Endpoint;
use tokio::select;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use super::shared::ServerShared;
use super::stop::Stop;
use super::thread::serve_on_a_thread;
use crate::admin::listener::{AdminListener, set_owner};
use crate::admin::listening::{ListeningAdmin, OpenSocket};
use crate::admin::routes::RouteContext;
use crate::admin::settings::AdminSettings;
use crate::listener::inheritable::InheritableSockets;
use crate::net::unix::SocketFile;

/// How long the server waits after an error of the system before it tries again.
const PAUSE: Duration = Duration::from_secs(1);

/// A running admin server.
///
/// Dropping it closes its socket; connections that it has, and those in the kernel's queue, get the answer to one
/// request, if that comes within a second.
#[derive(Debug)]
pub struct AdminServer {
    endpoint: Endpoint,
    socket: Arc<OpenSocket>,
    shared: Arc<ServerShared>,
    stop: Stop,
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
            socket: Arc::new(OpenSocket::new(listener.socket)),
            shared,
            stop: Stop::default(),
            tasks: TaskTracker::new(),
            file: listener.file,
        };
        server.tasks.close();
        server.run();
        server
    }

    fn run(&mut self) {
        let (socket, shared) = (Arc::clone(&self.socket), Arc::clone(&self.shared));
        self.stop = Stop::default();
        self.tasks.spawn(run(socket, shared, self.stop.clone()));
    }

    /// Accepts no more, and closes its connections after the requests that they have sent. The socket stays open: clients wait in the
    /// kernel's queue until the server [resumes](Self::resume) or another process serves them.
    pub fn pause(&mut self) {
        self.stop.pause();
    }

    /// Serves again after a [`pause`](Self::pause).
    ///
    /// # Panics
    ///
    /// Outside of a runtime, after a pause.
    pub fn resume(&mut self) {
        if self.stop.is_requested() {
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

    /// Stops it, as dropping it does. Completes when the socket is closed, so that clients of the address reach another server from
    /// then on, while connections of this one may still get their answers.
    pub async fn close(self) {
        let closed = self.socket.closed();
        drop(self);
        closed.cancelled().await;
    }

    /// Stops it, as dropping it does. Completes when the socket and all connections are closed.
    pub async fn stop(self) {
        let tasks = self.tasks.clone();
        drop(self);
        tasks.wait().await;
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.stop.close();
    }
}

/// Waits for clients on the current runtime, and lets a thread serve them while there are some.
///
/// Keeps the socket open from the start: clients may have connected before the first poll, and a server that closes serves them.
async fn run(socket: Arc<OpenSocket>, shared: Arc<ServerShared>, stop: Stop) {
    let server = Arc::downgrade(&socket);
    let mut open = Some(socket);
    // After a failure the thread has dropped its reference.
    while let Some(socket) = open.take().or_else(|| server.upgrade()) {
        match serve_until_idle(socket, &shared, &stop).await {
            Ok(None) => return,
            Ok(idle) => open = idle,
            Err(error) => {
                error!(%error, "Admin server paused");
                select! {
                    () = sleep(PAUSE) => {}
                    () = stop.requested() => {}
                }
            }
        }
    }
}

/// Serves the next clients. Returns the socket unless a stop is requested, because it is closed then as soon as no client waits.
async fn serve_until_idle(
    socket: Arc<OpenSocket>,
    shared: &Arc<ServerShared>,
    stop: &Stop,
) -> io::Result<Option<Arc<OpenSocket>>> {
    select! {
        called = client_waits(&socket) => called?,
        () = stop.requested() => {
            if !stop.is_closing() || !socket.has_clients() {
                return Ok(None);
            }
        }
    }
    serve_on_a_thread(socket, Arc::clone(shared), stop.clone()).await
}

/// Completes when a client has connected. The runtime does not watch the socket afterwards.
async fn client_waits(socket: &OpenSocket) -> io::Result<()> {
    let watched = socket.watch()?;
    watched.readable().await.map(drop)
}
