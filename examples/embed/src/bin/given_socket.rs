//! A proxy that a service runs on its own socket until it cancels it: `given_socket BACKEND...`, ended by Ctrl-C.

use std::error::Error;
use std::time::Duration;

use lb_proxy::lb_core::Snapshot;
use lb_proxy::{Listener, Proxy, Upstream};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Balances clients of `socket` until `stop` is cancelled and their sessions have ended, for which they have a second.
async fn balance(
    socket: TcpListener,
    nodes: Snapshot,
    stop: CancellationToken,
) -> Result<(), Box<dyn Error>> {
    let nodes = Upstream::builder("nodes").fixed(&nodes)?;
    let proxy = Proxy::builder()
        .listener(Listener::from_tokio(socket, &nodes)?)
        .drain_timeout(Some(Duration::from_secs(1)))
        .build()?;
    let report = proxy.bind().await?.run(stop.cancelled()).await;
    eprintln!("{} ended, {} were cut", report.completed, report.aborted);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let nodes = Snapshot::try_from_backends(std::env::args().skip(1))?;
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listening on {}", socket.local_addr()?);
    let stop = CancellationToken::new();
    let balancing = balance(socket, nodes, stop.clone());
    let cancelling = async {
        tokio::signal::ctrl_c().await?;
        stop.cancel();
        Ok(())
    };
    tokio::try_join!(balancing, cancelling)?;
    Ok(())
}
