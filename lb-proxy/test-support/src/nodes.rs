//! Backends that answer with their name, as long as the runtime of the test lives, and servers that health checks ask.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
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

/// A server that answers what it receives first, and closes. Dropping it closes its port.
#[derive(Debug)]
pub struct Answering {
    /// The address.
    pub addr: SocketAddr,
    shared: Arc<Mutex<LastExchange>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct LastExchange {
    answer: &'static [u8],
    received: Vec<u8>,
}

impl Answering {
    /// Starts a server that answers `answer`.
    pub async fn start(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let received = Vec::new();
        let shared = Arc::new(Mutex::new(LastExchange { answer, received }));
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let mut received = vec![0; 4096];
                    let n = stream.read(&mut received).await.unwrap_or(0);
                    received.truncate(n);
                    let answer = {
                        let mut shared = shared.lock().unwrap();
                        shared.received = received;
                        shared.answer
                    };
                    let _ = stream.write_all(answer).await;
                }
            }
        });
        Self { addr, shared, task }
    }

    /// Sets the answer to the next clients.
    pub fn answer(&self, answer: &'static [u8]) {
        self.shared.lock().unwrap().answer = answer;
    }

    /// What the last client sent.
    pub fn received(&self) -> Vec<u8> {
        self.shared.lock().unwrap().received.clone()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.task.abort();
    }
}
