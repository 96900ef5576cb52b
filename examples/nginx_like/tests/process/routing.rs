//! Routes of connections: `return`, `pass`, `server_name`, and `proxy_pass` with variables.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use test_support::client_hello::asking_for;
use test_support::dns::DnsServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::proxy::NginxLike;
use crate::server_names::named;
use crate::sockets::{Reserved, answer, ask, within};

/// What a client that sends `first` to `addr` receives.
async fn say(addr: SocketAddr, first: &[u8]) -> String {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(first).await.unwrap();
    answer(&mut client).await
}

/// Asserts that a client that sends `first` gets no service.
async fn refused(addr: SocketAddr, first: &[u8]) {
    let mut client = TcpStream::connect(addr).await.unwrap();
    let _ = client.write_all(first).await;
    let mut received = Vec::new();
    let read = within("the end", client.read_to_end(&mut received)).await;
    assert!(received.is_empty(), "{read:?}");
}

#[tokio::test]
async fn return_answers_with_a_value() {
    let proxy = NginxLike::start(
        "",
        "server { listen LISTEN; return \"$remote_addr:$remote_port is here\\n\"; }",
    )
    .await;
    let mut client = TcpStream::connect(proxy.addr).await.unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let addr = client.local_addr().unwrap();
    assert_eq!(answer(&mut client).await, format!("{addr} is here\n"));
}

#[tokio::test]
async fn names_choose_the_server_of_an_address() {
    let (one, two) = (named("one").await, named("two").await);
    let stream = format!(
        "server {{ listen LISTEN backlog=100; server_name www.example.com .example.org; proxy_pass {one}; }}
        server {{ listen LISTEN; server_name ~^(?<tenant>[a-z]+)\\.tenant\\.test$; return \"tenant $tenant\"; }}
        server {{ listen LISTEN default_server; ssl_preread on; return default; }}
        server {{ listen LISTEN; server_name *.example.com; proxy_pass {two}; }}"
    );
    let proxy = NginxLike::start("", &stream).await;
    for (name, expected) in [
        ("WWW.example.com", "one"),
        ("www.example.com:443", "one"),
        ("GOLD.tenant.test.", "tenant gold"),
        // No hosts.
        ("a/b.example.org", "default"),
        ("a..example.org", "default"),
        ("b\u{fc}.example.org", "default"),
        ("a.example.org", "one"),
        ("mail.example.com", "two"),
        ("gold.tenant.test", "tenant gold"),
        ("gold2.tenant.test", "default"),
        ("example.com", "default"),
    ] {
        assert_eq!(say(proxy.addr, &asking_for(name)).await, expected, "{name}");
    }
    assert_eq!(say(proxy.addr, b"no TLS").await, "default");

    // A reload chooses again.
    let stream = format!(
        "server {{ listen LISTEN; ssl_preread on; proxy_pass {one}; }}
        server {{ listen LISTEN; server_name mail.example.com; return mail; }}"
    );
    proxy.reload("", &stream).await;
    assert_eq!(
        say(proxy.addr, &asking_for("mail.example.com")).await,
        "mail"
    );
    assert_eq!(
        say(proxy.addr, &asking_for("gold.tenant.test")).await,
        "one"
    );
}

#[tokio::test]
async fn pass_hands_the_connection_to_another_listener() {
    let (web, other) = (Reserved::any(), Reserved::any());
    let stream = format!(
        "map $ssl_preread_server_name $port {{ web.test {}; loop.test 1; default {}; }}
        server {{ listen LISTEN; ssl_preread on; pass 127.0.0.1:$port; }}
        server {{ listen {} ; ssl_preread on; return \"web $server_port $ssl_preread_server_name $connection\"; }}
        server {{ listen {}; allow all; return other; }}",
        web.addr.port(),
        other.addr.port(),
        web.addr,
        other.addr
    );
    let proxy = NginxLike::start("", &stream).await;
    let expected = format!("web {} web.test 1", web.addr.port());
    assert_eq!(say(proxy.addr, &asking_for("web.test")).await, expected);
    assert_eq!(say(proxy.addr, &asking_for("a.test")).await, "other");
    refused(proxy.addr, &asking_for("loop.test")).await;
}

#[tokio::test]
async fn proxy_pass_takes_what_a_value_names() {
    let backend = Reserved::any();
    let _serving = backend.serve("node").await;
    let dns = DnsServer::start();
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    dns.set("a.node.test", 60, &[loopback]);
    let (port, dns) = (backend.addr.port(), dns.addr());
    let by = [(); 3].map(|()| Reserved::any());
    let stream = format!(
        "upstream pool {{ server {backend}; }}
        resolver {dns};
        server {{ listen {by_name}; set $name POOL; proxy_pass $name; }}
        server {{ listen {by_addr}; set $port {port}; proxy_pass 127.0.0.1:$port; }}
        server {{ listen {by_host}; set $host a; proxy_pass $host.node.test:{port}; }}
        server {{ listen LISTEN; proxy_pass $remote_addr; }}",
        backend = backend.addr,
        by_name = by[0].addr,
        by_addr = by[1].addr,
        by_host = by[2].addr,
    );
    let proxy = NginxLike::start("", &stream).await;
    for by in &by {
        for _ in 0..2 {
            assert_eq!(ask(by.addr).await.unwrap(), "node");
        }
    }
    refused(proxy.addr, b"x").await;
    proxy.logged("no port in upstream \"127.0.0.1\"").await;
}

#[tokio::test]
async fn sessions_spread_over_the_addresses_of_a_host() {
    let dns = DnsServer::start();
    let hosts = [11, 12, 13].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    dns.set("three.test", 60, &hosts);
    let nodes = Reserved::same_port(&hosts);
    let mut serving = Vec::new();
    for (node, name) in nodes.iter().zip(["a", "b", "c"]) {
        serving.push(node.serve(name).await);
    }
    let stream = format!(
        "resolver {}; server {{ listen LISTEN; set $host three; proxy_pass $host.test:{}; }}",
        dns.addr(),
        nodes[0].addr.port()
    );
    let proxy = NginxLike::start("", &stream).await;
    for _ in 0..2 {
        for name in ["a", "b", "c"] {
            assert_eq!(ask(proxy.addr).await.unwrap(), name);
        }
    }
}

#[tokio::test]
async fn a_value_that_names_nothing_is_a_refusal_with_its_reason() {
    let dns = DnsServer::start();
    let by = [(); 2].map(|()| Reserved::any());
    let stream = format!(
        "server {{ listen {no_resolver}; set $name a.test; proxy_pass $name:1; }}
        server {{ listen {unknown}; set $name a.test; proxy_pass $name:1; resolver {dns}; }}
        server {{ listen LISTEN; set $name ''; proxy_pass $name; }}",
        no_resolver = by[0].addr,
        unknown = by[1].addr,
        dns = dns.addr(),
    );
    let proxy = NginxLike::start("", &stream).await;
    for (addr, reason) in [
        (by[0].addr, "no resolver defined to resolve a.test"),
        (
            by[1].addr,
            "a.test could not be resolved (3: Host not found)",
        ),
        (proxy.addr, "no host in upstream"),
    ] {
        refused(addr, b"x").await;
        proxy.logged(reason).await;
    }
}

#[tokio::test]
async fn a_rate_may_be_a_value() {
    let backend = Reserved::any();
    let _serving = backend.serve("node").await;
    let stream = format!(
        "map $remote_addr $rate {{ 127.0.0.1 1m; default 1; }}
        server {{ listen LISTEN; proxy_pass {}; proxy_download_rate $rate; proxy_upload_rate 1m; }}",
        backend.addr
    );
    let proxy = NginxLike::start("", &stream).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
}
