//! Connections that one listener passes to another.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use lb_proxy::access::{Access, ClientZone, Excess, Network};
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::events::{Admission, CloseReason, Connection, Summary};
use lb_proxy::proxy_protocol::{ProxyProtocol, TrustedNetworks};
use lb_proxy::routing::RouteAction;
use lb_proxy::server_names::ServerNames;
use lb_proxy::{Hooks, Limits, Listener, Proxy, Upstream};
use socket2::Socket;
use test_support::deadline::eventually;
use test_support::nodes::{listening, named};
use test_support::proxy::{RunningProxy, reload, round_robin};
use test_support::sockets::{loopback, refusing, reserved_port};
use test_support::streams::{ask, assert_refused, assert_reset};
use test_support::tls::client_hello;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn unused() -> Upstream {
    let (_held, dead) = refusing();
    round_robin("unused", dead)
}

/// A listener that passes everything to `to`.
fn passing(to: SocketAddr) -> Listener {
    Listener::new(loopback(), &unused()).route(move |_| RouteAction::Pass(to))
}

/// An address to listen on, which no other test gets while the socket lives.
fn free() -> (Socket, SocketAddr) {
    let (reserved, port) = reserved_port();
    (reserved, (loopback().ip(), port).into())
}

#[tokio::test]
async fn the_other_listener_serves_the_connection_as_its_own() {
    let (_reserved, second) = free();
    let upstream = round_robin("second", named("second").await);
    let proxy = Proxy::builder()
        .listener(passing(second))
        .listener(Listener::new(second, &upstream));
    let proxy = RunningProxy::run(proxy).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "second");
    assert_eq!(proxy.metrics().accepted, 1);
    proxy.end().await;
}

#[tokio::test]
async fn a_wildcard_listener_is_found_by_its_port() {
    let (_reserved, second) = free();
    let upstream = round_robin("second", named("second").await);
    let any = SocketAddr::from(([0, 0, 0, 0], second.port()));
    let proxy = Proxy::builder()
        .listener(passing(second))
        .listener(Listener::new(any, &upstream));
    let proxy = RunningProxy::run(proxy).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "second");
    proxy.end().await;
}

#[tokio::test]
async fn the_first_bytes_and_the_clients_address_go_with_the_connection() {
    let (_reserved, second) = free();
    let web = round_robin("web", listening("web").await);
    let mut names = ServerNames::new();
    names.insert("www.example.com", web).unwrap();
    let trusted = TrustedNetworks::try_new(["127.0.0.1"]).unwrap();
    // The first listener reads the header, and the ClientHello as well.
    let first = passing(second)
        .preread(Arc::new(ProxyProtocol::required(trusted)))
        .preread(Arc::new(ClientHelloReader::new()));
    // The second one reads the ClientHello again.
    let log = Arc::new(Log::default());
    let to = Listener::new(second, &unused())
        .preread(Arc::new(ClientHelloReader::new()))
        .server_names(names)
        .hooks(log.clone());
    let proxy = Proxy::builder().listener(first).listener(to);
    let proxy = RunningProxy::run(proxy).await;
    let mut client = proxy.connect().await;
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.8 4000 443\r\n";
    let sent = [&header[..], &client_hello("www.example.com")].concat();
    client.write_all(&sent).await.unwrap();
    client.read_exact(&mut [0; 3]).await.unwrap();
    drop(client);
    eventually("the end", || log.closed.lock().unwrap().len() == 1).await;
    let connection = log.accepted.lock().unwrap()[0].clone();
    assert_eq!(connection.client, "192.0.2.7:4000".parse().unwrap());
    assert_eq!((connection.listener, connection.local), (second, second));
    proxy.end().await;
}

#[derive(Debug, Default)]
struct Log {
    accepted: Mutex<Vec<Connection>>,
    closed: Mutex<Vec<CloseReason>>,
}

impl Hooks for Log {
    fn accept(&self, connection: &Connection) -> Admission {
        self.accepted.lock().unwrap().push(connection.clone());
        Admission::Admit
    }

    fn close(&self, _: &Connection, summary: &Summary<'_>) {
        self.closed.lock().unwrap().push(summary.reason);
    }
}

#[tokio::test]
async fn the_access_rules_of_the_other_listener_apply() {
    let (_reserved, second) = free();
    let upstream = round_robin("second", named("second").await);
    let nobody = Access::new().deny(Network::new("0.0.0.0".parse().unwrap(), 0).unwrap());
    let to = Listener::new(second, &upstream).access(nobody);
    let proxy = Proxy::builder().listener(passing(second)).listener(to);
    let proxy = RunningProxy::run(proxy).await;
    assert_refused(proxy.addr).await;
    eventually("the end", || proxy.metrics().access_denied == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn the_limits_of_both_listeners_count_the_session_until_its_end() {
    let (_reserved, second) = free();
    let upstream = round_robin("second", listening("second").await);
    let one = Limits::default().sessions(1).excess(Excess::Refuse);
    let proxy = Proxy::builder()
        .listener(passing(second).limits(one))
        .listener(Listener::new(second, &upstream).limits(one));
    let proxy = RunningProxy::run(proxy).await;
    for _ in 0..3 {
        let mut client = proxy.connect().await;
        client.read_exact(&mut [0; 6]).await.unwrap();
        assert_refused(proxy.addr).await;
        assert_refused(second).await;
        drop(client);
        eventually("the end", || proxy.metrics().active == 0).await;
    }
    proxy.end().await;
}

#[tokio::test]
async fn a_dry_run_of_the_other_listener_keeps_the_permits_of_the_first() {
    let (_reserved, second) = free();
    let upstream = round_robin("second", listening("second").await);
    let [counted, spare, observed] = [(); 3].map(|()| ClientZone::builder().build());
    let to = Listener::new(second, &upstream)
        .limit_clients(&spare, u32::MAX)
        .limit_clients(&observed, 1)
        .limit_dry_run(true);
    let proxy = Proxy::builder()
        .listener(passing(second).limit_clients(&counted, 1))
        .listener(to);
    let proxy = RunningProxy::run(proxy).await;
    let mut held = TcpStream::connect(second).await.unwrap();
    held.read_exact(&mut [0; 6]).await.unwrap();
    // It exceeds the limit of the second listener.
    let mut passed = proxy.connect().await;
    passed.read_exact(&mut [0; 6]).await.unwrap();
    assert_eq!(counted.len(), 1);
    assert_refused(proxy.addr).await;
    drop(held);
    eventually("the end of the session that holds permits", || {
        observed.is_empty() && spare.is_empty()
    })
    .await;
    assert_eq!(counted.len(), 1);
    drop(passed);
    eventually("the end", || counted.is_empty()).await;
    proxy.end().await;
}

#[tokio::test]
async fn an_address_without_a_listener_is_a_refusal() {
    let (_reserved, nowhere) = free();
    let proxy = RunningProxy::start(passing(nowhere), None).await;
    assert_refused(proxy.addr).await;
    eventually("the end", || proxy.metrics().route_refused == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn listeners_that_pass_in_a_circle_refuse_the_client() {
    let ((_one, one), (_two, two)) = (free(), free());
    let listener = |on, to| Listener::new(on, &unused()).route(move |_| RouteAction::Pass(to));
    let proxy = Proxy::builder()
        .listener(listener(one, two))
        .listener(listener(two, one));
    let proxy = RunningProxy::run(proxy).await;
    assert_refused(proxy.addr).await;
    eventually("the end", || proxy.metrics().route_refused == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn a_reload_changes_the_listener_that_takes_over() {
    let ((_first, first), (_second, second)) = (free(), free());
    let [old, new] = [
        round_robin("old", named("old").await),
        round_robin("new", named("new").await),
    ];
    let described = |upstream: &Upstream| {
        Proxy::builder()
            .listener(Listener::new(first, &unused()).route(move |_| RouteAction::Pass(second)))
            .listener(Listener::new(second, upstream))
    };
    let proxy = RunningProxy::run(described(&old)).await;
    assert_eq!(ask(first).await.unwrap(), "old");
    reload(&proxy, described(&new)).await.unwrap();
    assert_eq!(ask(first).await.unwrap(), "new");
    let alone = Proxy::builder()
        .listener(Listener::new(first, &unused()).route(move |_| RouteAction::Pass(second)));
    reload(&proxy, alone).await.unwrap();
    assert_refused(first).await;
    proxy.end().await;
}

/// The listeners are closed by then.
#[tokio::test]
async fn a_connection_that_is_not_read_yet_when_the_drain_begins_is_passed_on() {
    let (_reserved, second) = free();
    let upstream = round_robin("second", listening("second").await);
    let first = passing(second).preread(Arc::new(ClientHelloReader::new()));
    let proxy = Proxy::builder()
        .listener(first)
        .listener(Listener::new(second, &upstream))
        .drain_timeout(None);
    let proxy = RunningProxy::run(proxy).await;
    let mut client = proxy.connect().await;
    eventually("the session", || proxy.metrics().active == 1).await;
    proxy.handle.shutdown();
    eventually("the drain", || {
        proxy.handle.phase() > lb_proxy::reports::Phase::Serving
    })
    .await;
    eventually("the closed port", || {
        std::net::TcpStream::connect(second).is_err()
    })
    .await;
    client.write_all(b"no TLS").await.unwrap();
    client.read_exact(&mut [0; 6]).await.unwrap();
    drop(client);
    proxy.end().await;
}

#[tokio::test]
async fn a_client_that_sends_no_hello_to_the_second_listener_is_reset() {
    let (_reserved, second) = free();
    let to = Listener::new(second, &unused()).preread(Arc::new(ClientHelloReader::new()));
    let proxy = Proxy::builder().listener(passing(second)).listener(to);
    let proxy = RunningProxy::run(proxy).await;
    let mut client = proxy.connect().await;
    client.write_all(b"\x16\x03").await.unwrap();
    client.shutdown().await.unwrap();
    assert_reset(&mut client).await;
    assert_eq!(proxy.metrics().preread_errors, 1);
    proxy.end().await;
}
