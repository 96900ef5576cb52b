//! Metrics for Prometheus beside those of the program: `metrics LISTEN METRICS BACKEND...`.
//!
//! The feature `admin` has a server for this, with a page and access rules; here the program answers by itself.

use std::error::Error;
use std::future::pending;

use lb_proxy::lb_core::Snapshot;
use lb_proxy::lb_discovery::Static;
use lb_proxy::openmetrics::prometheus_client::registry::Registry;
use lb_proxy::openmetrics::{Format, ServerCollector, encode};
use lb_proxy::{Proxy, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let both = arguments.next().zip(arguments.next());
    let (listen, metrics) = both.ok_or("metrics LISTEN METRICS BACKEND...")?;
    let nodes = Static::new(Snapshot::try_from_backends(arguments)?);
    let nodes = Upstream::builder("nodes").discovery(nodes).build()?;
    let proxy = Proxy::builder().listen(listen.parse()?, &nodes);
    let server = proxy.detailed_metrics(true).build()?.bind().await?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ServerCollector::new(server.handle())));
    let scrapes = TcpListener::bind(metrics).await?;
    eprintln!("listening on {}", server.local_addrs()[0]);
    eprintln!("metrics on {}", scrapes.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut scrape, _)) = scrapes.accept().await {
            let kind = Format::Prometheus.content_type();
            let head = format!("HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n");
            let answer = head + &encode(&registry, Format::Prometheus);
            // A client that has left needs no answer.
            let _ = scrape.read(&mut [0; 4096]).await;
            let _ = scrape.write_all(answer.as_bytes()).await;
        }
    });
    server.run(pending()).await;
    Ok(())
}
