//! A line of JSON for each session: `session_log LISTEN BACKEND...`.
//!
//! A thread of its own writes the lines, so that a slow disk delays no session. The fields are those of
//! `lb-proxy/docs/access-events.md`.

use std::error::Error;
use std::future::pending;

use lb_proxy::events::JsonEvents;
use lb_proxy::lb_core::Snapshot;
use lb_proxy::{Listener, Proxy, Upstream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("session_log LISTEN BACKEND...")?;
    let nodes = Snapshot::try_from_backends(arguments)?;
    let nodes = Upstream::builder("nodes").fixed(&nodes)?;
    let log = JsonEvents::to_writer(std::io::stderr(), 1024)?;
    let listener = Listener::new(listen.parse()?, &nodes).hooks(log);
    let server = Proxy::builder().listener(listener).build()?.bind().await?;
    eprintln!("listening on {}", server.local_addrs()[0]);
    server.run(pending()).await;
    Ok(())
}
