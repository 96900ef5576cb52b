//! A proxy as one part of a service that ends gracefully: `graceful LISTEN READY_FILE BACKEND...`.
//!
//! On SIGTERM the ready file goes away, so that load balancers in front send nothing new. The proxy accepts for another second,
//! then open sessions have 10 s to end. The service ends when they have.

use std::error::Error;
use std::time::Duration;

use lb_proxy::lb_core::Snapshot;
use lb_proxy::lb_discovery::Static;
use lb_proxy::{Handle, Proxy, Upstream};
use tokio::signal::unix::{SignalKind, signal};

/// Keeps a file while the proxy is ready for new connections.
async fn show_readiness(handle: Handle, file: String) {
    let mut readiness = handle.watch_readiness();
    let mut is_shown = false;
    loop {
        let is_ready = readiness.changed().await.is_ready();
        let written = match (is_shown, is_ready) {
            (false, true) => std::fs::write(&file, "ready\n"),
            (true, false) => std::fs::remove_file(&file),
            _ => continue,
        };
        is_shown = is_ready;
        if let Err(error) = written {
            eprintln!("{file}: {error}");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let both = arguments.next().zip(arguments.next());
    let (listen, file) = both.ok_or("graceful LISTEN READY_FILE BACKEND...")?;
    let nodes = Static::new(Snapshot::try_from_backends(arguments)?);
    let nodes = Upstream::builder("nodes").discovery(nodes).build()?;
    let server = Proxy::builder()
        .listen(listen.parse()?, &nodes)
        .pre_stop_delay(Duration::from_secs(1))
        .drain_timeout(Some(Duration::from_secs(10)))
        .build()?
        .bind()
        .await?;
    eprintln!("listening on {}", server.local_addrs()[0]);
    tokio::spawn(show_readiness(server.handle(), file));
    let mut terminate = signal(SignalKind::terminate())?;
    let report = server.run(async { _ = terminate.recv().await }).await;
    eprintln!("{} ended, {} were cut", report.completed, report.aborted);
    Ok(())
}
