//! The thread of an admin server.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::accept::accept_until_idle;
use super::shared::ServerShared;
use super::stop::Stop;
use crate::admin::listening::OpenSocket;

/// Serves clients on a thread of its own, until there have been none for a while: then it returns the socket. The thread runs a
/// runtime.
///
/// A process with one thread makes cheaper system calls, so there is no thread without clients.
pub(super) async fn serve_on_a_thread(
    socket: Arc<OpenSocket>,
    shared: Arc<ServerShared>,
    stop: Stop,
) -> io::Result<Option<Arc<OpenSocket>>> {
    let (ended, end) = oneshot::channel();
    let thread = thread::Builder::new().name("lb-admin".to_owned());
    thread.spawn(move || {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_io().enable_time().build();
        let served =
            runtime.and_then(|runtime| runtime.block_on(accept_until_idle(socket, shared, stop)));
        // The receiver is gone if the embedder's runtime is.
        let _ = ended.send(served);
    })?;
    end.await
        .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}
