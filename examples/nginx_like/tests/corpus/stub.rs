//! Stub backends.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use test_support::deadline::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A backend that says its name in a line, and then returns what it gets.
#[derive(Debug)]
pub(crate) struct Stub {
    addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Stub {
    pub(crate) async fn start(name: &str, addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let greeting = format!("{name}\n");
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, greeting.clone()));
            }
        });
        Ok(Self { addr, accepting })
    }

    /// Stops accepting. Connections are refused once this returns.
    pub(crate) async fn stop(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
        // A process that another case starts may hold the descriptor for a moment.
        within("the refusal", async {
            while TcpStream::connect(self.addr).await.is_ok() {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, greeting: String) {
    let mut bytes = [0; 4096];
    // The balancer or the client may close at any time.
    if stream.write_all(greeting.as_bytes()).await.is_err() {
        return;
    }
    while let Ok(read) = stream.read(&mut bytes).await {
        if read == 0 || stream.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
