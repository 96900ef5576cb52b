//! Servers that health checks probe.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use lb_proxy::health::{CheckError, CheckReport, HealthCheck, Probe};
use test_support::sockets::loopback;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server that answers what it receives first, and closes. Dropping it closes its port.
#[derive(Debug)]
pub(super) struct Answering {
    pub(super) addr: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    answer: &'static [u8],
    received: Vec<u8>,
}

impl Answering {
    pub(super) async fn start(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let received = Vec::new();
        let shared = Arc::new(Mutex::new(Shared { answer, received }));
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

    pub(super) fn answer(&self, answer: &'static [u8]) {
        self.shared.lock().unwrap().answer = answer;
    }

    /// What the last client sent.
    pub(super) fn received(&self) -> Vec<u8> {
        self.shared.lock().unwrap().received.clone()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server that accepts in the kernel, and never answers.
pub(super) async fn silent() -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let _listener = listener;
        std::future::pending::<()>().await
    });
    addr
}

/// Connects to one port for one backend, and to another for all others: an embedder's check.
#[derive(Debug)]
pub(super) struct AtPort {
    backend: SocketAddr,
    its: u16,
    others: u16,
}

impl AtPort {
    pub(super) const fn new(backend: SocketAddr, its: u16, others: u16) -> Self {
        Self {
            backend,
            its,
            others,
        }
    }
}

#[async_trait::async_trait]
impl HealthCheck for AtPort {
    async fn check(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError> {
        let port = match probe.backend().addr == self.backend {
            true => self.its,
            false => self.others,
        };
        probe.at_port(port).connect().await?;
        Ok(CheckReport::default())
    }
}
