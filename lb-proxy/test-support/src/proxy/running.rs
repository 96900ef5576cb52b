//! A proxy that runs in a task of the test, in front of backends that the test plays.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::errors::ReloadError;
use lb_proxy::reports::{DrainReport, ReloadReport};
use lb_proxy::{Handle, Listener, Metrics, Proxy, ProxyBuilder};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::upstreams::upstream;
use crate::deadline::within;
use crate::sockets::loopback;

/// A proxy that runs in a task of its own.
#[derive(Debug)]
pub struct RunningProxy {
    /// The address of the first listener.
    pub addr: SocketAddr,
    /// Controls the proxy.
    pub handle: Handle,
    /// The task that runs it.
    pub server: JoinHandle<DrainReport>,
}

impl RunningProxy {
    /// Runs a proxy with one listener and an optional limit on its drain.
    pub async fn start(listener: Listener, drain_timeout: Option<Duration>) -> Self {
        let proxy = Proxy::builder().listener(listener);
        Self::run(proxy.drain_timeout(drain_timeout)).await
    }

    /// Runs the proxy that `proxy` describes.
    pub async fn run(proxy: ProxyBuilder) -> Self {
        Self::run_built(proxy.build().unwrap()).await
    }

    /// Runs `proxy`.
    pub async fn run_built(proxy: Proxy) -> Self {
        let server = proxy.bind().await.unwrap();
        Self {
            addr: server.local_addrs()[0],
            handle: server.handle(),
            server: tokio::spawn(server.run(pending())),
        }
    }

    /// Runs a proxy with one listener in front of `backends`.
    pub async fn over(backends: impl IntoIterator<Item = SocketAddr>) -> Self {
        let upstream = upstream(backends.into_iter().map(Backend::new));
        Self::start(Listener::new(loopback(), &upstream), None).await
    }

    /// The counters at present.
    pub fn metrics(&self) -> Metrics {
        self.handle.metrics()
    }

    /// A client of the first listener.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Shuts the proxy down and asserts that no session is left and that each was counted once.
    pub async fn end(self) -> DrainReport {
        self.handle.shutdown();
        let report = within("the drain", self.server).await.unwrap();
        let metrics = self.handle.metrics();
        assert_eq!(metrics.active, 0);
        assert_eq!(metrics.accepted, metrics.ended(), "{metrics:?}");
        report
    }
}

/// Applies `to` to a running proxy.
///
/// # Errors
///
/// What the reload returns.
pub async fn reload(proxy: &RunningProxy, to: ProxyBuilder) -> Result<ReloadReport, ReloadError> {
    within("the reload", proxy.handle.reload(to.build().unwrap())).await
}

/// A session through a proxy: the proxy, the client's socket and the backend's.
pub async fn session() -> (RunningProxy, TcpStream, TcpStream) {
    session_with(|listener| listener).await
}

/// The same with settings of the listener.
pub async fn session_with(
    settings: impl FnOnce(Listener) -> Listener,
) -> (RunningProxy, TcpStream, TcpStream) {
    let backend = TcpListener::bind(loopback()).await.unwrap();
    let upstream = upstream([Backend::new(backend.local_addr().unwrap())]);
    let proxy = RunningProxy::start(settings(Listener::new(loopback(), &upstream)), None).await;
    let client = proxy.connect().await;
    let (server, _) = within("the proxy's connection", backend.accept())
        .await
        .unwrap();
    (proxy, client, server)
}
