//! The smallest proxy: `minimal LISTEN BACKEND...`, as in `minimal 0.0.0.0:446 10.0.0.1:446 10.0.0.2:446`.

use std::error::Error;
use std::future::pending;

use lb_proxy::lb_core::Snapshot;
use lb_proxy::lb_discovery::Static;
use lb_proxy::{Proxy, Upstream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("minimal LISTEN BACKEND...")?;
    let nodes = Static::new(Snapshot::try_from_backends(arguments)?);
    let nodes = Upstream::builder("nodes").discovery(nodes).build()?;
    let proxy = Proxy::builder().listen(listen.parse()?, &nodes).build()?;
    let server = proxy.bind().await?;
    eprintln!("listening on {}", server.local_addrs()[0]);
    server.run(pending()).await;
    Ok(())
}
