//! Backends that lead back to a listener of the same proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::Backend;
use lb_proxy::access::Network;
use lb_proxy::proxy_protocol::{ProxyProtocol, SendProxy, TrustedNetworks};
use lb_proxy::settings::HalfClose;
use lb_proxy::{Limits, Listener, Proxy, Workers};
use test_support::deadline::{eventually, within};
use test_support::nodes::{listening, named};
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::loopback;
use test_support::streams::{ask, assert_refused, assert_reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The first session and those of sixteen connections to own listeners.
const MOST_SESSIONS: u64 = 17;

/// A listening socket, to know its address before the proxy is built.
fn socket() -> (std::net::TcpListener, SocketAddr) {
    let socket = std::net::TcpListener::bind(loopback()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// A listener on `socket` over `backends` that ends sessions as nginx does.
fn listener(socket: std::net::TcpListener, backends: &[SocketAddr]) -> Listener {
    let upstream = upstream(backends.iter().copied().map(Backend::new));
    let listener = Listener::from_std(socket, &upstream).unwrap();
    listener.half_close(HalfClose::End)
}

/// A proxy with one listener, which is its own backend.
async fn looped() -> RunningProxy {
    let (socket, addr) = socket();
    RunningProxy::start(listener(socket, &[addr]), None).await
}

/// A client that does not wait for an answer. The loop may end before the client has sent anything.
async fn ask_and_leave(addr: SocketAddr) {
    if let Ok(mut client) = TcpStream::connect(addr).await {
        let _ = client.write_all(b"x").await;
    }
}

#[tokio::test]
async fn a_loop_ends_while_its_client_stays() {
    let proxy = looped().await;
    assert_refused(proxy.addr).await;
    eventually("the end of all", || proxy.metrics().active == 0).await;
    assert_eq!(proxy.metrics().accepted, MOST_SESSIONS);
    proxy.end().await;
}

#[tokio::test]
async fn a_loop_ends_after_its_client_has_closed() {
    let proxy = looped().await;
    ask_and_leave(proxy.addr).await;
    eventually("the last session", || {
        let metrics = proxy.metrics();
        metrics.accepted == MOST_SESSIONS && metrics.active == 0
    })
    .await;
    proxy.end().await;
}

/// Hops are found by the address of the peer, whatever its PROXY header says.
#[tokio::test]
async fn a_loop_with_proxy_headers_ends() {
    let (socket, addr) = socket();
    let trusted = ["127.0.0.0/8".parse::<Network>().unwrap()];
    let protocol = ProxyProtocol::required(trusted.into_iter().collect::<TrustedNetworks>());
    let listener = listener(socket, &[addr])
        .preread(Arc::new(protocol))
        .send_proxy(SendProxy::v1());
    let proxy = RunningProxy::start(listener, None).await;
    let mut client = proxy.connect().await;
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 446\r\n";
    client.write_all(header).await.unwrap();
    assert_reset(&mut client).await;
    eventually("the end of all", || proxy.metrics().active == 0).await;
    assert_eq!(proxy.metrics().accepted, MOST_SESSIONS);
    proxy.end().await;
}

#[tokio::test]
async fn a_loop_over_several_listeners_and_workers_ends() {
    let ((first, first_addr), (second, second_addr)) = (socket(), socket());
    let proxy = Proxy::builder()
        .listener(listener(first, &[second_addr]))
        .listener(listener(second, &[first_addr]))
        .workers(Workers::Threads(3));
    let proxy = RunningProxy::run(proxy).await;
    assert_refused(proxy.addr).await;
    ask_and_leave(proxy.addr).await;
    eventually("the end of all", || {
        let metrics = proxy.metrics();
        metrics.accepted >= 2 * MOST_SESSIONS && metrics.active == 0
    })
    .await;
    proxy.end().await;
}

#[tokio::test]
async fn a_loop_leaves_sessions_for_other_listeners() {
    let (socket, addr) = socket();
    let other = upstream([Backend::new(listening("a").await)]);
    let proxy = Proxy::builder()
        .listener(listener(socket, &[addr]))
        .listen(loopback(), &other)
        .limits(Limits::default().sessions(64));
    let proxy = RunningProxy::run(proxy).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(TcpStream::connect(addr).await);
        let addr = proxy.handle.local_addrs()[1];
        let mut client = TcpStream::connect(addr).await.unwrap();
        let answer = within("an answer", client.read_u8()).await.unwrap();
        assert_eq!(answer, b'a');
        held.push(Ok(client));
    }
    drop(held);
    proxy.end().await;
}

/// A session in a loop is retried on another backend.
#[tokio::test]
async fn a_session_in_a_loop_tries_the_other_backends_in_the_end() {
    let (socket, addr) = socket();
    let proxy = RunningProxy::start(listener(socket, &[addr, named("a").await]), None).await;
    for _ in 0..4 {
        assert_eq!(ask(addr).await.unwrap(), "a");
    }
    proxy.end().await;
}

#[tokio::test]
async fn listeners_in_a_chain_are_no_loop() {
    let mut next = named("a").await;
    let mut proxy = Proxy::builder();
    let mut listeners = Vec::new();
    for _ in 0..8 {
        let (socket, addr) = socket();
        listeners.push(listener(socket, &[next]));
        next = addr;
    }
    for listener in listeners {
        proxy = proxy.listener(listener);
    }
    let proxy = RunningProxy::run(proxy).await;
    for _ in 0..20 {
        assert_eq!(ask(next).await.unwrap(), "a");
    }
    proxy.end().await;
}
