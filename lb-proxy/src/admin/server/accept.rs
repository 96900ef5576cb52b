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
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::connection;
use super::header_wait::HeaderWait;
use super::shared::ServerShared;
use crate::admin::access::AccessError;
use crate::admin::listener::AdminSocket;
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

/// Serves clients until there have been none for a while, or until `stop` is cancelled, which ends all connections.
pub(super) async fn serve_until_idle(
    socket: Arc<AdminSocket>,
    shared: Arc<ServerShared>,
    stop: CancellationToken,
) -> io::Result<()> {
    let watched = socket.watch()?;
    let mut connections = Connections::default();
    loop {
        select! {
            () = stop.cancelled() => break,
            Some(_) = connections.tasks.join_next() => {}
            accepted = accept(&socket, &watched, &shared), if connections.has_room() => match accepted {
                Ok(client) => connections.add(client, Arc::clone(&shared)).await,
                Err(error) => {
                    warn!(%error, "Admin connection not accepted");
                    sleep(PAUSE).await;
                }
            },
            () = connections.request_ended.notified() => {}
            () = sleep(LINGER), if connections.tasks.is_empty() => break,
        }
    }
    connections.tasks.shutdown().await;
    Ok(())
}

/// The open connections.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    waits: Vec<(AbortHandle, Arc<HeaderWait>)>,
    request_ended: Arc<Notify>,
}

impl Connections {
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

    async fn add(&mut self, client: AcceptedClient, shared: Arc<ServerShared>) {
        while self.tasks.len() >= MAX_CONNECTIONS {
            if let Some(task) = self.longest_wait() {
                task.abort();
            }
            self.tasks.join_next().await;
        }
        self.waits.retain(|(task, _)| !task.is_finished());
        let wait = Arc::new(HeaderWait::new(Arc::clone(&self.request_ended)));
        let task = self.tasks.spawn(serve(client, shared, Arc::clone(&wait)));
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
        .async_io(Interest::READABLE, |_| match socket {
            AdminSocket::Tcp(socket) => {
                let (stream, addr) = socket.accept()?;
                Ok(AcceptedClient::Tcp(stream, AdminPeer::Tcp(addr)))
            }
            AdminSocket::Unix(socket) => {
                // Read first: a client that an earlier group let in must not pass for one of the present group.
                let group = shared.rules().group;
                Ok(AcceptedClient::Unix(socket.accept()?.0, group))
            }
        })
        .await
}

async fn serve(client: AcceptedClient, shared: Arc<ServerShared>, wait: Arc<HeaderWait>) {
    // It fails only if the client is gone already.
    let _ = try_serve(client, shared, &wait).await;
}

async fn try_serve(
    client: AcceptedClient,
    shared: Arc<ServerShared>,
    wait: &HeaderWait,
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
            connection::serve(stream, peer, shared, wait).await;
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
            connection::serve(stream, peer, shared, wait).await;
        }
    }
    Ok(())
}
