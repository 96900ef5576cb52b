//! Listeners and backends on unix sockets.

mod backends;
mod clients;
mod files;
mod relay;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use lb_core::{Backend, Endpoint};
use lb_proxy::Hooks;
use lb_proxy::events::{CloseReason, Connection, Summary};
use tempfile::TempDir;
use test_support::deadline::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// A path in a directory of the test.
pub(super) fn path(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join(name)
}

pub(super) fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A backend on a unix socket, and its listening socket.
pub(super) fn backend(path: &Path) -> (Backend, UnixListener) {
    (Backend::unix(path), UnixListener::bind(path).unwrap())
}

/// A backend on a unix socket that answers each connection with `name`, and closes.
pub(super) fn named_unix(path: &Path, name: &'static str) -> Backend {
    let (backend, listener) = backend(path);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            // The client may have left.
            let _ = client.write_all(name.as_bytes()).await;
        }
    });
    backend
}

pub(super) async fn ask_unix(path: &Path) -> std::io::Result<String> {
    let mut client = UnixStream::connect(path).await?;
    let mut answer = String::new();
    within("an answer", client.read_to_string(&mut answer)).await?;
    Ok(answer)
}

pub(super) async fn accepted(listener: &UnixListener) -> UnixStream {
    within("a connection", listener.accept()).await.unwrap().0
}

#[derive(Debug, Default)]
pub(super) struct Observer(pub(super) Mutex<Vec<(Connection, CloseReason, Option<Endpoint>)>>);

impl Hooks for Observer {
    fn close(&self, connection: &Connection, summary: &Summary<'_>) {
        let backend = summary.backend.map(Backend::endpoint);
        let closed = (connection.clone(), summary.reason, backend);
        self.0.lock().unwrap().push(closed);
    }
}
