//! Names, addresses and resolvers that the DNS tests share.

#![allow(dead_code)] // every test uses its own part

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lb_discovery::{DiscoveryError, Dns, Resolved, Resolver};
use test_support::dns::DnsServer;

/// The name that most tests look up.
pub(crate) const NAME: &str = "node.test";

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

pub(crate) fn at(port: u16, texts: &[&str]) -> Vec<SocketAddr> {
    texts
        .iter()
        .map(|text| SocketAddr::new(ip(text), port))
        .collect()
}

/// How long a question may take: longer than a busy machine needs, as some tests count the questions, which are sent again in
/// between, and short for those whose server does not answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// A resolver that asks `servers`.
pub(crate) fn resolver(servers: &[&DnsServer]) -> Resolver {
    let addrs: Vec<_> = servers.iter().map(|server| server.addr()).collect();
    let builder = Resolver::builder().name_servers(&addrs);
    let builder = builder.timeout(TIMEOUT).attempts(1);
    builder.build().unwrap()
}

pub(crate) fn dns(servers: &[&DnsServer], name: &str) -> Dns {
    Dns::try_new(resolver(servers), name, 446).unwrap()
}

pub(crate) async fn lookup(server: &DnsServer, name: &str) -> Result<Resolved, DiscoveryError> {
    dns(&[server], name).lookup().await
}

pub(crate) async fn failure(server: &DnsServer, name: &str) -> DiscoveryError {
    lookup(server, name).await.unwrap_err()
}

/// The service that most tests look up.
pub(crate) const SERVICE: &str = "_echo._tcp.test";

pub(crate) fn service(servers: &[&DnsServer]) -> Dns {
    Dns::try_service(resolver(servers), SERVICE).unwrap()
}
