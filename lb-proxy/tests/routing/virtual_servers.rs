//! Settings of sessions by the name that the client asks for.

use std::sync::Arc;
use std::time::Duration;

use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::errors::BuildError;
use lb_proxy::routing::{RouteAction, VirtualServer, VirtualServers};
use lb_proxy::server_names::ServerNames;
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
    let by_function = VirtualServer::new(&function).matching(|connection| {
        let name = connection.server_name().unwrap_or_default();
        name.starts_with('f') || name.starts_with("www")
    });
    let servers = VirtualServers::new()
        .default_matching(|connection| connection.server_name() == Some("first.test"))
        .server(by_function)
        .server(VirtualServer::new(&wild).name("*.example.com"))
        .server(VirtualServer::new(&exact).name("www.example.com"))
        .default_name("own.example.com");
    let proxy = RunningProxy::start(listener(&default, servers), None).await;
    for (name, expected) in [
        ("www.example.com", "exact"),
        ("a.b.example.com", "wild"),
        ("function.test", "function"),
        ("first.test", "default"),
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
    let by_table = VirtualServer::new(&chosen).server_names(names);
    let answers = VirtualServer::new(&chosen).route(|connection| {
        let name = connection.server_name().unwrap_or_default();
        RouteAction::Respond(name.as_bytes().into())
    });
    let brief = Some(Duration::from_millis(50));
    let brief = Timeouts::default().idle(brief).half_closed(brief);
    let brief = VirtualServer::new(&chosen).timeouts(brief);
    let servers = VirtualServers::new()
        .server(by_table.name("one.example.com"))
        .server(answers.name("two.example.com"))
        .server(brief.name("three.example.com"));
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
        let server = VirtualServer::new(upstream).name("a.test");
        let servers = VirtualServers::new().server(server);
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

#[tokio::test]
async fn names_that_contradict_each_other_fail_the_building_of_the_proxy() {
    let one = pool("one").await;
    for (names, expected) in [(["a.test", "A.test"], "a.test"), (["*.test", "a*b"], "a*b")] {
        let [first, second] = names.map(|name| VirtualServer::new(&one).name(name));
        let servers = VirtualServers::new().server(first).server(second);
        let listener = listener(&one, servers);
        let error = Proxy::builder().listener(listener).build().unwrap_err();
        let BuildError::ServerName { source, .. } = &error else {
            panic!("{error}");
        };
        assert!(
            source.to_string().to_lowercase().contains(expected),
            "{source}"
        );
    }
}
