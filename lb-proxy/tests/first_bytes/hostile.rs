//! Hostile first bytes: too long, too slow, too many.

use std::sync::Arc;
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::first_bytes::Preread;
use lb_proxy::proxy_protocol::{ProxyProtocol, TrustedNetworks};
use lb_proxy::server_names::ServerNames;
use lb_proxy::{Listener, Proxy};
use test_support::deadline::{eventually, within};
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::loopback;
use test_support::streams::read_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The fixed part of a version 2 header for TCP over IPv4 that announces `len` more bytes.
fn announcing(len: u16) -> Vec<u8> {
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11";
    [&start[..], &len.to_be_bytes()].concat()
}

fn here() -> TrustedNetworks {
    TrustedNetworks::try_new(["127.0.0.1"]).unwrap()
}

async fn with(preread: impl Preread) -> RunningProxy {
    let upstream = upstream([Backend::new(named("a").await)]);
    let listener = Listener::new(loopback(), &upstream).preread(Arc::new(preread));
    RunningProxy::start(listener, None).await
}

/// Whether the proxy resets a client that sends `bytes` in pieces of `size`.
async fn is_reset(proxy: &RunningProxy, bytes: &[u8], size: usize) -> bool {
    let mut client = proxy.connect().await;
    client.set_nodelay(true).unwrap();
    for piece in bytes.chunks(size) {
        // The proxy may reset the connection before everything is sent.
        if client.write_all(piece).await.is_err() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    let read = within("the reset", client.read_to_end(&mut Vec::new())).await;
    read.is_err()
}

#[tokio::test]
async fn a_header_that_is_too_long_is_refused_before_it_has_arrived() {
    let proxy = with(ProxyProtocol::required(here()).limit(536)).await;
    let line = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
    let unfinished = [announcing(u16::MAX), vec![0; 100]].concat();
    let headers = [line, unfinished, announcing(521)];
    for header in &headers {
        for size in [1, 7, header.len()] {
            assert!(is_reset(&proxy, header, size).await);
        }
    }
    let metrics = proxy.metrics();
    assert_eq!((metrics.preread_errors, metrics.connect_attempts), (9, 0));
    proxy.end().await;
}

#[tokio::test]
async fn thousands_of_half_headers_delay_no_client_and_end_by_their_deadline() {
    const HALVES: u64 = 2000;
    let proxy = with(ProxyProtocol::optional(here()).timeout(Duration::from_secs(2))).await;
    let mut halves = JoinSet::new();
    for number in 0..HALVES {
        let mut client = proxy.connect().await;
        let half = match number % 2 {
            0 => b"PROXY TCP4 192.0.2.1 ".to_vec(),
            _ => announcing(12),
        };
        client.write_all(&half).await.unwrap();
        halves.spawn(async move { client.read_to_end(&mut Vec::new()).await.is_err() });
    }
    let mut served = proxy.connect().await;
    served.write_all(b"hello").await.unwrap();
    served.shutdown().await.unwrap();
    assert_eq!(read_all(&mut served).await, b"a");
    while let Some(reset) = within("the deadline", halves.join_next()).await {
        assert!(reset.unwrap());
    }
    let metrics = proxy.metrics();
    assert_eq!((metrics.preread_timeouts, metrics.finished), (HALVES, 1));
    eventually("their end", || proxy.metrics().active == 0).await;
    proxy.end().await;
}

/// A ClientHello for `a.test` of 64 KiB, all but 100 bytes of it padding, in records of `size` bytes.
fn long_hello(size: usize) -> Vec<u8> {
    let name = b"a.test";
    let extension = |kind: u16, body: &[u8]| {
        let len = u16::try_from(body.len()).unwrap();
        [&kind.to_be_bytes()[..], &len.to_be_bytes(), body].concat()
    };
    let len = u16::try_from(name.len()).unwrap();
    let host = [&[0][..], &len.to_be_bytes(), name].concat();
    let list = u16::try_from(host.len()).unwrap();
    let sni = extension(0, &[&list.to_be_bytes()[..], &host].concat());
    let padding = extension(21, &vec![0; 65_535 - 8 - sni.len()]);
    let extensions = [padding, sni].concat();
    let len = u16::try_from(extensions.len()).unwrap();
    let hello = [
        &[3, 3][..],
        &[7; 32],
        &[0, 0, 2, 0x13, 1, 1, 0],
        &len.to_be_bytes(),
    ];
    let body = [&hello.concat()[..], &extensions].concat();
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1][..], &len[1..], &body].concat();
    let records = message.chunks(size).flat_map(|fragment| {
        let len = u16::try_from(fragment.len()).unwrap();
        [&[22, 3, 1][..], &len.to_be_bytes(), fragment].concat()
    });
    records.collect()
}

#[tokio::test]
async fn a_hello_of_64_kib_is_refused_or_routed_depending_on_the_limit() {
    let proxy = with(ClientHelloReader::new()).await;
    for size in [1, 16_384] {
        assert!(is_reset(&proxy, &long_hello(size), 4096).await);
    }
    let metrics = proxy.metrics();
    assert_eq!((metrics.preread_errors, metrics.connect_attempts), (2, 0));
    proxy.end().await;

    let backend = TcpListener::bind(loopback()).await.unwrap();
    let chosen = upstream([Backend::new(backend.local_addr().unwrap())]);
    let other = upstream([]);
    let mut names = ServerNames::new();
    names.insert("a.test", chosen.clone()).unwrap();
    let reader = ClientHelloReader::new().limit(1 << 20);
    let listener = Listener::new(loopback(), &other)
        .preread(Arc::new(reader))
        .server_names(names);
    let proxy = RunningProxy::run(Proxy::builder().listener(listener)).await;
    for (size, segment) in [(16_384, 100), (16_384, 1 << 20), (1, 4096)] {
        let hello = long_hello(size);
        let mut client = TcpStream::connect(proxy.addr).await.unwrap();
        client.set_nodelay(true).unwrap();
        let sent = hello.clone();
        let sending = tokio::spawn(async move {
            for piece in sent.chunks(segment) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
            read_all(&mut client).await
        });
        let (mut server, _) = within("the connection", backend.accept()).await.unwrap();
        assert!(
            read_all(&mut server).await == hello,
            "the bytes are the client's"
        );
        drop(server);
        sending.await.unwrap();
    }
    proxy.end().await;
}
