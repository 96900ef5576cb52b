//! The accept loop of an admin server.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::select;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::connection;
use super::shared::ServerShared;
use crate::admin::listener::AdminSocket;
use crate::admin::peer::AdminPeer;

/// How many connections are open at a time. Further ones wait in the kernel's queue.
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
    let mut connections = JoinSet::new();
    loop {
        select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&socket, &watched), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok(client) => {
                    let shared = Arc::clone(&shared);
                    connections.spawn(serve(client, shared));
                }
                Err(error) => {
                    warn!(%error, "Admin connection not accepted");
                    sleep(PAUSE).await;
                }
            },
            () = sleep(LINGER), if connections.is_empty() => break,
        }
    }
    connections.shutdown().await;
    Ok(())
}

enum AcceptedClient {
    Tcp(TcpStream, AdminPeer),
    Unix(UnixStream),
}

/// Cancel-safe.
async fn accept(socket: &AdminSocket, watched: &AsyncFd<OwnedFd>) -> io::Result<AcceptedClient> {
    watched
        .async_io(Interest::READABLE, |_| match socket {
            AdminSocket::Tcp(socket) => {
                let (stream, addr) = socket.accept()?;
                Ok(AcceptedClient::Tcp(stream, AdminPeer::Tcp(addr)))
            }
            AdminSocket::Unix(socket) => Ok(AcceptedClient::Unix(socket.accept()?.0)),
        })
        .await
}

async fn serve(client: AcceptedClient, shared: Arc<ServerShared>) {
    // It fails only if the client is gone already.
    let _ = try_serve(client, shared).await;
}

async fn try_serve(client: AcceptedClient, shared: Arc<ServerShared>) -> io::Result<()> {
    match client {
        AcceptedClient::Tcp(stream, peer) => {
            if !shared.rules().admits(peer) {
                return Ok(());
            }
            stream.set_nonblocking(true)?;
            let stream = tokio::net::TcpStream::from_std(stream)?;
            stream.set_nodelay(true)?;
            connection::serve(stream, peer, shared).await;
        }
        AcceptedClient::Unix(stream) => {
            stream.set_nonblocking(true)?;
            let stream = tokio::net::UnixStream::from_std(stream)?;
            let credentials = stream.peer_cred()?;
            let peer = AdminPeer::Unix {
                uid: credentials.uid(),
                pid: credentials.pid().unwrap_or_default(),
            };
            connection::serve(stream, peer, shared).await;
        }
    }
    Ok(())
}
