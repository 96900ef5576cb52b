//! Active health checks, and what they find as events: `health LISTEN BACKEND...`.

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use lb_proxy::events::UpstreamEvent;
use lb_proxy::health::{CheckSettings, HttpCheck};
use lb_proxy::lb_core::Snapshot;
use lb_proxy::lb_discovery::Static;
use lb_proxy::{Proxy, Upstream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("health LISTEN BACKEND...")?;
    let often = CheckSettings::default().interval(Duration::from_millis(100));
    let nodes = Upstream::builder("nodes")
        .discovery(Static::new(Snapshot::try_from_backends(arguments)?))
        .health_check(HttpCheck::try_new("/healthz")?, often)
        .build()?;
    let mut events = nodes.events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let UpstreamEvent::Health { backend, health } = event {
                eprintln!("{} is {health}", backend.endpoint());
            }
        }
    });
    let proxy = Proxy::builder().listen(listen.parse()?, &nodes).build()?;
    let server = proxy.bind().await?;
    eprintln!("listening on {}", server.local_addrs()[0]);
    server.run(pending()).await;
    Ok(())
}
