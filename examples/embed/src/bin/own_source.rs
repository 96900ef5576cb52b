//! A source of one's own: `own_source LISTEN REGISTRY`.
//!
//! The registry is a server that answers each connection with the backends, one a line. It is asked every second, and at once
//! after a connection to a backend has failed. While it cannot be reached, the last answer stays.

use std::error::Error;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lb_proxy::lb_core::Snapshot;
use lb_proxy::lb_discovery::{DiscoveryError, Lookup, Polled, Resolved};
use lb_proxy::{Proxy, Upstream};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

#[derive(Debug)]
struct Registry(SocketAddr);

impl Registry {
    async fn ask(&self) -> Result<Snapshot, Box<dyn Error + Send + Sync>> {
        let mut text = String::new();
        let stream = TcpStream::connect(self.0).await?;
        stream.take(1 << 20).read_to_string(&mut text).await?;
        Ok(Snapshot::try_from_backends(text.lines())?)
    }
}

#[async_trait]
impl Lookup for Registry {
    fn label(&self) -> Arc<str> {
        format!("registry {}", self.0).into()
    }

    async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
        let answer = timeout(Duration::from_secs(5), self.ask()).await;
        let nodes = answer.unwrap_or_else(|late| Err(late.into()));
        let nodes = nodes.map_err(|error| DiscoveryError::unavailable(self.label(), error))?;
        Ok(Resolved::new(nodes, None))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let both = arguments.next().zip(arguments.next());
    let (listen, registry) = both.ok_or("own_source LISTEN REGISTRY")?;
    let registry = Polled::new(Registry(registry.parse()?)).interval(Duration::from_secs(1));
    let nodes = Upstream::builder("nodes").discovery(registry).build()?;
    let proxy = Proxy::builder().listen(listen.parse()?, &nodes).build()?;
    let server = proxy.bind().await?;
    eprintln!("listening on {}", server.local_addrs()[0]);
    server.run(pending()).await;
    Ok(())
}
