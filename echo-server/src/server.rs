//! The server: one task per connection, all of them owned by the future that accepts.

use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::accept::Acceptor;
use crate::echo::echo;

/// How long [`serve_until`] waits for connections whose client does not read its answers: 1 s.
///
/// Connections that wait for a line do not use it, they are closed at once.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// Serves until the future is dropped or its task is aborted, as [`serve_until`] does without the clean end.
///
/// Never completes. Dropping it closes the listener and every connection; what was still to be answered is lost,
/// as when a node goes down.
pub async fn serve(listener: TcpListener, hostname: impl Into<Arc<str>>) {
    serve_until(listener, hostname, pending()).await;
}

/// Serves until `shutdown` completes, then ends cleanly.
///
/// It stops to accept, each connection answers the lines it has received and closes, and connections that have
/// not done so after [`SHUTDOWN_GRACE`] are cut. A line that has not ended by then gets no answer.
///
/// `hostname` starts every answer. It is used as it is; a [`Hostname`](crate::Hostname) has been checked.
///
/// Accepting does not fail for good: when the process is out of file descriptors or memory, that is logged to
/// stderr and tried again after a pause of 10 ms up to 1 s.
///
/// A connection costs a task and two buffers of about [`LINE_LIMIT`](crate::LINE_LIMIT) bytes, whatever it
/// receives. Must run in a Tokio runtime with IO and time enabled. Dropping the future is like dropping
/// [`serve`]'s.
pub async fn serve_until(
    listener: TcpListener,
    hostname: impl Into<Arc<str>>,
    shutdown: impl Future<Output = ()>,
) {
    let prefix: Arc<[u8]> = format!("{}: ", hostname.into()).into_bytes().into();
    let mut acceptor = Acceptor::new(listener);
    let mut connections = JoinSet::new();
    let stop = CancellationToken::new();
    let mut shutdown = pin!(shutdown);
    loop {
        select! {
            biased;
            () = &mut shutdown => break,
            // How a connection ended is its client's business; a panic has been reported by the panic hook.
            Some(_) = connections.join_next() => {}
            stream = acceptor.accept() => {
                connections.spawn(connection(stream, Arc::clone(&prefix), stop.clone()));
            }
        }
    }
    drop(acceptor);
    stop.cancel();
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(SHUTDOWN_GRACE, ended).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(
    stream: TcpStream,
    prefix: Arc<[u8]>,
    stop: CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // A client that vanished without a FIN would otherwise hold its connection for ever.
    SockRef::from(&stream).set_keepalive(true)?;
    echo(stream, &prefix, &stop).await
}
