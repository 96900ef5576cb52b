//! The server: one task per connection. The future that accepts owns all of them.

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

/// The time that [`serve_until`] waits for clients that do not read their answers: 1 s.
///
/// Connections that wait for a line are closed at once.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// Serves until the future is dropped or its task is aborted. Otherwise like [`serve_until`].
///
/// Never completes. Dropping it closes the listener and every connection; pending answers are lost, as when a node goes
/// down.
pub async fn serve(listener: TcpListener, hostname: impl Into<Arc<str>>) {
    serve_until(listener, hostname, pending()).await;
}

/// Serves until `shutdown` completes, then ends cleanly.
///
/// The server then stops accepting. Each connection answers the lines it has received and closes; connections that are
/// still open after [`SHUTDOWN_GRACE`] are cut. A line without its newline by then gets no answer.
///
/// `hostname` starts every answer. It is not checked; a [`Hostname`](crate::Hostname) is valid by construction.
///
/// A lack of file descriptors or memory does not end the server: it logs the failure to stderr and accepts again after a
/// pause of 10 ms up to 1 s.
///
/// A connection costs a task and two buffers of about [`LINE_LIMIT`](crate::LINE_LIMIT) bytes, whatever it receives.
/// Needs a Tokio runtime with IO and time enabled. Dropping the future has the same effect as with [`serve`].
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
            // Errors of a connection are not reported; the panic hook has reported a panic.
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
    // Without keep-alive a client that vanished without a FIN would keep its connection open for ever.
    SockRef::from(&stream).set_keepalive(true)?;
    echo(stream, &prefix, &stop).await
}
