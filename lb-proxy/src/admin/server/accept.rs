//! The accept loop of an admin server.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::select;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tracing::warn;

use super::connection;
use super::header_wait::HeaderWait;
use super::shared::ServerShared;
use super::stop::Stop;
use crate::admin::access::AccessError;
use crate::admin::listener::AdminSocket;
use crate::admin::listening::OpenSocket;
use crate::admin::peer::AdminPeer;

/// How many connections are open at a time.
///
/// A further one replaces the connection that has been waiting longest for the header of a request: an idle one, or one whose
/// client has sent a part. So clients that send nothing do not keep a probe from its answer. While all connections answer a
/// request, further ones wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 16;

/// How long the thread stays without a client: longer than a client takes that connects for each request.
const LINGER: Duration = Duration::from_millis(500);

/// The minimum time between two attempts to accept after an error.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves clients until there have been none for a while: then it returns the socket. Or until `stop` is requested: it drops the
/// socket as soon as it accepts no more, and returns when all connections have ended.
pub(super) async fn accept_until_idle(
    socket: Arc<OpenSocket>,
    shared: Arc<ServerShared>,
    stop: Stop,
) -> io::Result<Option<Arc<OpenSocket>>> {
    let watched = socket.watch()?;
    let mut connections = Connections::new(&shared, &stop);
    loop {
        select! {
            () = stop.requested() => break,
            Some(_) = connections.tasks.join_next() => {}
            accepted = accept(&socket, &watched, &shared), if connections.has_room() => match accepted {
                Ok(client) => connections.add(client).await,
                Err(error) => {
                    warn!(%error, "Admin connection not accepted");
                    sleep(PAUSE).await;
                }
            },
            () = connections.request_ended.notified() => {}
            () = sleep(LINGER), if connections.tasks.is_empty() => return Ok(Some(socket)),
        }
    }
    if stop.is_closing() {
        // The kernel resets the connections in its queue when the socket is closed.
        while connections.has_room()
            && let Ok(client) = accept_waiting(&socket, &shared)
        {
            connections.add(client).await;
        }
    }
    drop(watched);
    drop(socket);
    while connections.tasks.join_next().await.is_some() {}
    Ok(None)
}

/// The open connections.
struct Connections {
    shared: Arc<ServerShared>,
    stop: Stop,
    tasks: JoinSet<()>,
    waits: Vec<(AbortHandle, Arc<HeaderWait>)>,
    request_ended: Arc<Notify>,
}

impl Connections {
    fn new(shared: &Arc<ServerShared>, stop: &Stop) -> Self {
        Self {
            shared: Arc::clone(shared),
            stop: stop.clone(),
            tasks: JoinSet::new(),
            waits: Vec::new(),
            request_ended: Arc::default(),
        }
    }

    /// Whether one may be added, in the place of another if need be.
    fn has_room(&self) -> bool {
        self.tasks.len() < MAX_CONNECTIONS || self.longest_wait().is_some()
    }

    /// The connection that has been waiting longest for the header of a request.
    fn longest_wait(&self) -> Option<&AbortHandle> {
        let open = self.waits.iter().filter(|(task, _)| !task.is_finished());
        let waiting = open.filter_map(|(task, wait)| Some((wait.since()?, task)));
        let longest = waiting.min_by_key(|&(since, _)| since);
        longest.map(|(_, task)| task)
    }

    async fn add(&mut self, client: AcceptedClient) {
        while self.tasks.len() >= MAX_CONNECTIONS {
            if let Some(task) = self.longest_wait() {
                task.abort();
            }
            self.tasks.join_next().await;
        }
        self.waits.retain(|(task, _)| !task.is_finished());
        let wait = Arc::new(HeaderWait::new(Arc::clone(&self.request_ended)));
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        let task = self
            .tasks
            .spawn(serve(client, shared, Arc::clone(&wait), stop));
        self.waits.push((task, wait));
    }
}

enum AcceptedClient {
    Tcp(TcpStream, AdminPeer),
    /// With the group of the socket when it connected.
    Unix(UnixStream, Option<u32>),
}

/// Cancel-safe.
async fn accept(
    socket: &AdminSocket,
    watched: &AsyncFd<OwnedFd>,
    shared: &ServerShared,
) -> io::Result<AcceptedClient> {
    watched
        .async_io(Interest::READABLE, |_| accept_waiting(socket, shared))
        .await
}

/// Accepts a client of the kernel's queue, without waiting.
fn accept_waiting(socket: &AdminSocket, shared: &ServerShared) -> io::Result<AcceptedClient> {
    match socket {
        AdminSocket::Tcp(socket) => {
            let (stream, addr) = socket.accept()?;
            Ok(AcceptedClient::Tcp(stream, AdminPeer::Tcp(addr)))
        }
        AdminSocket::Unix(socket) => {
            // Read first: a client that an earlier group let in must not pass for one of the present group.
            let group = shared.rules().group;
            Ok(AcceptedClient::Unix(socket.accept()?.0, group))
        }
    }
}

async fn serve(
    client: AcceptedClient,
    shared: Arc<ServerShared>,
    wait: Arc<HeaderWait>,
    stop: Stop,
) {
    // It fails only if the client is gone already.
    let _ = try_serve(client, shared, &wait, &stop).await;
}

async fn try_serve(
    client: AcceptedClient,
    shared: Arc<ServerShared>,
    wait: &HeaderWait,
    stop: &Stop,
) -> io::Result<()> {
    match client {
        AcceptedClient::Tcp(stream, peer) => {
            if !shared.rules().admits(peer) {
                shared.note_refused(peer, AccessError::Address, "connection");
                return Ok(());
            }
            stream.set_nonblocking(true)?;
            let stream = tokio::net::TcpStream::from_std(stream)?;
            stream.set_nodelay(true)?;
            connection::serve(stream, peer, shared, wait, stop).await;
        }
        AcceptedClient::Unix(stream, group) => {
            stream.set_nonblocking(true)?;
            let stream = tokio::net::UnixStream::from_std(stream)?;
            let credentials = stream.peer_cred()?;
            let uid = credentials.uid();
            let needs_group = uid != 0 && uid != geteuid().as_raw();
            let peer = AdminPeer::Unix {
                uid,
                pid: credentials.pid().unwrap_or_default(),
                group: group.filter(|_| needs_group),
            };
            connection::serve(stream, peer, shared, wait, stop).await;
        }
    }
    Ok(())
}
