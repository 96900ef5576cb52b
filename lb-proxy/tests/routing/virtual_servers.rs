//! Settings of sessions by the name that the client asks for.

use std::sync::Arc;
use std::time::Duration;

use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::routing::{RouteAction, ServerNumber, VirtualServer, VirtualServers};
use lb_proxy::server_names::{ServerNameError, ServerNames};
use lb_proxy::{Listener, Proxy, Timeouts, Upstream};
use test_support::deadline::eventually;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, reload, round_robin};
use test_support::sockets::loopback;
use test_support::streams::read_all;
use test_support::tls::client_hello;
use tokio::io::AsyncWriteExt;

async fn pool(name: &'static str) -> Upstream {
    round_robin(name, named(name).await)
}

fn listener(default: &Upstream, servers: VirtualServers) -> Listener {
    Listener::new(loopback(), default)
        .preread(Arc::new(ClientHelloReader::new()))
        .virtual_servers(servers)
}

/// What a client that asks for `name` receives.
async fn ask(proxy: &RunningProxy, name: &'static str) -> String {
    let mut client = proxy.connect().await;
    client.write_all(&client_hello(name)).await.unwrap();
    client.shutdown().await.unwrap();
    String::from_utf8(read_all(&mut client).await).unwrap()
}

#[tokio::test]
async fn names_come_before_functions_and_the_listener_is_the_default() {
    let (exact, wild, function, default) = (
        pool("exact").await,
        pool("wild").await,
        pool("function").await,
        pool("default").await,
    );
    let mut servers = VirtualServers::new();
    let number = servers.add(VirtualServer::new(&function));
    servers.matching(number, |connection| {
        let name = connection.server_name().unwrap_or_default();
        name.starts_with('f') || name.starts_with("www")
    });
    let number = servers.add(VirtualServer::new(&wild));
    servers.name("*.example.com", number).unwrap();
    let number = servers.add(VirtualServer::new(&exact));
    servers.name("www.example.com", number).unwrap();
    servers
        .name("own.example.com", ServerNumber::DEFAULT)
        .unwrap();
    let again = servers.name("www.example.com", ServerNumber::DEFAULT);
    assert!(matches!(again, Err(ServerNameError::Conflict { .. })));
    let proxy = RunningProxy::start(listener(&default, servers), None).await;
    for (name, expected) in [
        ("www.example.com", "exact"),
        ("a.b.example.com", "wild"),
        ("function.test", "function"),
        ("own.example.com", "default"),
        ("other.test", "default"),
    ] {
        assert_eq!(ask(&proxy, name).await, expected, "{name}");
    }
    // No TLS, no name.
    let mut plain = proxy.connect().await;
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert_eq!(read_all(&mut plain).await, b"default");
    drop(plain);
    proxy.end().await;
}

#[tokio::test]
async fn each_server_has_its_own_settings() {
    let (default, chosen, table) = (
        pool("default").await,
        pool("chosen").await,
        pool("table").await,
    );
    let mut names = ServerNames::new();
    names.insert("*.example.com", table).unwrap();
    let mut servers = VirtualServers::new();
    let by_table = servers.add(VirtualServer::new(&chosen).server_names(names));
    servers.name("one.example.com", by_table).unwrap();
    let answers = VirtualServer::new(&chosen);
    let answers = servers.add(answers.route(|connection| {
        let name = connection.server_name().unwrap_or_default();
        RouteAction::Respond(name.as_bytes().into())
    }));
    servers.name("two.example.com", answers).unwrap();
    let brief = Some(Duration::from_millis(50));
    let brief = Timeouts::default().idle(brief).half_closed(brief);
    let brief = servers.add(VirtualServer::new(&chosen).timeouts(brief));
    servers.name("three.example.com", brief).unwrap();
    let proxy = RunningProxy::start(listener(&default, servers), None).await;
    assert_eq!(ask(&proxy, "one.example.com").await, "table");
    assert_eq!(ask(&proxy, "two.example.com").await, "two.example.com");
    assert_eq!(ask(&proxy, "four.example.com").await, "default");
    // The backend ends first, and the client stays: only the time-out of this server ends the session.
    let mut client = proxy.connect().await;
    client
        .write_all(&client_hello("three.example.com"))
        .await
        .unwrap();
    eventually("the time-out", || {
        let metrics = proxy.metrics();
        metrics.idle_timeouts + metrics.half_closed_timeouts == 1
    })
    .await;
    drop(client);
    proxy.end().await;
}

#[tokio::test]
async fn a_reload_replaces_the_servers() {
    let (default, one, two) = (pool("default").await, pool("one").await, pool("two").await);
    let described = |addr, upstream: &Upstream| {
        let mut servers = VirtualServers::new();
        let number = servers.add(VirtualServer::new(upstream));
        servers.name("a.test", number).unwrap();
        Proxy::builder().listener(
            Listener::new(addr, &default)
                .preread(Arc::new(ClientHelloReader::new()))
                .virtual_servers(servers),
        )
    };
    let proxy = RunningProxy::run(described(loopback(), &one)).await;
    assert_eq!(ask(&proxy, "a.test").await, "one");
    let report = reload(&proxy, described(proxy.addr, &two)).await.unwrap();
    assert_eq!(report.listeners.kept, [proxy.addr]);
    assert_eq!(ask(&proxy, "a.test").await, "two");
    proxy.end().await;
}
