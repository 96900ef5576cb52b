//! Servers that health checks probe.

use std::net::SocketAddr;

use lb_proxy::health::{CheckError, CheckReport, HealthCheck, Probe};
use test_support::sockets::loopback;
use tokio::net::TcpListener;

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
