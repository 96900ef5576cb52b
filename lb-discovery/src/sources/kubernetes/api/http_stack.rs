//! HTTP to an API server.
//!
//! kube's own stack is not used: it may spend the whole connect time-out on the first of several addresses of a server,
//! and logs every failure at level error, without a name.

use std::error::Error as StdError;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::Config;
use kube::{Client, Error};
use tokio::net::TcpStream;
use tower::{BoxError, Layer, Service};

/// Makes a client that connects lazily. `connect_timeout` is divided evenly among all addresses of a server; after 300 ms
/// the addresses of the other family are tried concurrently (RFC 6555).
///
/// Blocks on files. Needs the context of a runtime.
pub(crate) fn of(
    config: &Config,
    proxy: Option<&Intercept>,
    connect_timeout: Duration,
) -> Result<Client, Error> {
    by(HttpConnector::new(), config, proxy, connect_timeout)
}

/// Makes the client that connects by `tcp`.
fn by<R>(
    mut tcp: HttpConnector<R>,
    config: &Config,
    proxy: Option<&Intercept>,
    connect_timeout: Duration,
) -> Result<Client, Error>
where
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>> + Clone + Send + Sync + 'static,
    <HttpConnector<R> as Service<Uri>>::Future: Send + 'static,
    <HttpConnector<R> as Service<Uri>>::Error: StdError + Send + Sync + 'static,
{
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    let Some(proxy) = proxy else {
        return over(tcp, config);
    };
    let url = proxy.uri().clone();
    match url.scheme_str() {
        Some("https") => {
            let tls = config.rustls_https_connector_with_connector(tcp)?;
            over(tunnel(url, tls, proxy), config)
        }
        Some("http") => over(tunnel(url, tcp, proxy), config),
        _ => {
            let socks = SocksV5::new(url, tcp);
            let socks = match proxy.raw_auth() {
                Some((user, password)) => socks.with_auth(user.to_owned(), password.to_owned()),
                None => socks,
            };
            over(socks, config)
        }
    }
}

fn tunnel<C>(url: Uri, connector: C, proxy: &Intercept) -> Tunnel<C> {
    let tunnel = Tunnel::new(url, connector);
    match proxy.basic_auth() {
        Some(auth) => tunnel.with_auth(auth.clone()),
        None => tunnel,
    }
}

fn over<C>(connector: C, config: &Config) -> Result<Client, Error>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: hyper::rt::Read + hyper::rt::Write + Connection + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let tls = config.rustls_https_connector_with_connector(connector)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(tls);
    let service: hyper_util::client::legacy::Client<_, Body> = http;
    let service = config.extra_headers_layer()?.layer(service);
    let service = config.base_uri_layer().layer(service);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}

#[cfg(test)]
mod tests;
