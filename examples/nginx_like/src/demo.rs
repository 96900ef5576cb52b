//! The demonstration, which runs without arguments: the article's scenario in one process.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

use lb_core::policy::WeightedRoundRobin;
use lb_core::{Backend, Snapshot};
use lb_discovery::Static;
use lb_proxy::{Proxy, Upstream};
use tokio::net::TcpListener;

use crate::build::error::BuildError;
use crate::process::error::StartError;
use crate::process::logs::logging::Logging;
use crate::process::logs::open_logs::Logs;
use crate::process::run::{FlushGuard, Outputs, block_on, serve};
use crate::process::signals::Signals;

const ADDR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4460);
const NODES: [&str; 3] = ["node1", "node2", "node3"];

/// Starts three echo servers and balances over them until a signal comes.
pub(crate) fn run() -> Result<(), StartError> {
    let logging = Logging::install(Logs::stderr()?);
    let _flush = FlushGuard(&logging);
    block_on(async {
        let signals = Signals::listen()?;
        let mut nodes = Vec::new();
        for name in NODES {
            nodes.push(node(name).await?);
        }
        let upstream = Upstream::builder("nodes")
            .discovery(Static::new(Snapshot::from_backends(nodes)))
            .policy(WeightedRoundRobin::new())
            .build()
            .map_err(BuildError::Proxy)?;
        let proxy = Proxy::builder().listen(ADDR, &upstream).build();
        let proxy = proxy.map_err(BuildError::Proxy)?;
        let server = proxy.bind().await?;
        explain();
        serve(server, signals, &logging, Outputs::default(), None, None).await
    })
}

/// Starts an echo server that answers as `name`.
async fn node(name: &'static str) -> Result<Backend, StartError> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let failed = |source| StartError::Demo { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let backend = Backend::new(listener.local_addr().map_err(failed)?).name(name);
    tokio::spawn(echo_server::serve(listener, name));
    Ok(backend)
}

fn explain() {
    let text = format!(
        "\
Three echo servers, {}, run behind {ADDR}.
Every new connection is answered by the next. In another terminal, type

    for i in 1 2 3 4 5 6; do echo hello | nc -N {} {}; done

or, where there is no nc, in bash

    for i in 1 2 3 4 5 6; do exec 3<>/dev/tcp/{}/{}; echo hello >&3; head -n 1 <&3; done

Ctrl-C ends the demonstration. To balance your own servers, write an nginx
configuration and run: nginx_like -c FILE
",
        NODES.join(", "),
        ADDR.ip(),
        ADDR.port(),
        ADDR.ip(),
        ADDR.port(),
    );
    // If the output is closed the demonstration continues.
    let _ = io::stdout().write_all(text.as_bytes());
}
