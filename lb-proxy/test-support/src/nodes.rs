//! Backends that answer with their name. They live as long as the runtime of the test.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::sockets::loopback;

/// A backend that answers every connection with `name` and a FIN.
pub async fn named(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    serve(name, listener);
    addr
}

/// Answers every connection of `listener` with `name` and a FIN.
pub fn serve(name: &'static str, listener: TcpListener) {
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else {
                // Without descriptors `accept` fails at once, again and again.
                sleep(Duration::from_millis(2)).await;
                continue;
            };
            tokio::spawn(async move {
                stream.write_all(name.as_bytes()).await?;
                stream.shutdown().await?;
                // Waits for the client's FIN, so that neither side closes with bytes unread.
                stream.read_to_end(&mut Vec::new()).await
            });
        }
    });
}

/// A backend that answers every connection with `name` and keeps it open until the peer's FIN.
pub async fn listening(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(name.as_bytes()).await?;
                stream.read_to_end(&mut Vec::new()).await
            });
        }
    });
    addr
}
