//! A fixed list with backups from a watched file: `two_sources LISTEN FILE BACKEND...`.
//!
//! The pool is the union of both sources. Each is followed by itself, and one that fails keeps its last good set. The file
//! lists backends of the second tier, which get connections while no backend of the list works.

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use lb_proxy::lb_core::{Priority, Snapshot};
use lb_proxy::lb_discovery::{File, Map, Static};
use lb_proxy::{Proxy, Upstream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "two_sources LISTEN FILE BACKEND...";
    let (listen, file) = arguments.next().zip(arguments.next()).ok_or(usage)?;
    let backups = File::new(file).interval(Duration::from_millis(200));
    let nodes = Upstream::builder("nodes")
        .discovery(Static::new(Snapshot::try_from_backends(arguments)?))
        .discovery(Map::new(backups, |backend| {
            backend.priority(Priority::BACKUP)
        }))
        .build()?;
    let proxy = Proxy::builder().listen(listen.parse()?, &nodes).build()?;
    let server = proxy.bind().await?;
    eprintln!("listening on {}", server.local_addrs()[0]);
    server.run(pending()).await;
    Ok(())
}
