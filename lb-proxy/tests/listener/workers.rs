//! Threads with listening sockets of their own.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::access::ClientZone;
use lb_proxy::errors::BindError;
use lb_proxy::events::{Connection, Summary};
use lb_proxy::{Handle, Hooks, Limits, Listener, Proxy, ProxyBuilder, Workers};
use test_support::deadline::{eventually, within};
use test_support::nodes::{listening, named};
use test_support::proxy::{RunningProxy, in_flight, upstream};
use test_support::sockets::loopback;
use test_support::streams::{ask, assert_refused, assert_reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn threads(proxy: ProxyBuilder) -> ProxyBuilder {
    proxy.workers(Workers::Threads(2))
}

#[tokio::test]
async fn workers_share_connections_upstream_and_counters() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let proxy = threads(Proxy::builder().listen(loopback(), &upstream));
    let proxy = RunningProxy::run(proxy).await;
    for _ in 0..200 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    }
    let workers = proxy.handle.worker_metrics();
    let accepted: Vec<u64> = workers.iter().map(|worker| worker.accepted).collect();
    assert_eq!(accepted.iter().sum::<u64>(), 200);
    // The kernel spreads connections by a hash of the addresses: 200 of 200 on one worker would be a defect.
    assert!(
        accepted.iter().all(|&accepted| accepted > 40),
        "{accepted:?}"
    );
    assert_eq!(proxy.metrics().accepted, 200);
    proxy.end().await;
    assert_eq!(in_flight(&upstream), 0);
}

/// Compares sums while a session ends.
#[derive(Debug, Default)]
struct Sums(OnceLock<Handle>);

impl Hooks for Sums {
    fn close(&self, _: &Connection, _: &Summary<'_>) {
        let metrics = self.0.get().expect("before the first session").metrics();
        assert!(metrics.active >= 1, "this one has not ended");
        assert_eq!(metrics.accepted, metrics.active + metrics.ended());
    }
}

#[tokio::test]
async fn accepted_is_the_sum_of_open_and_ended_connections_at_any_moment() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let sums = Arc::new(Sums::default());
    let listener = Listener::new(loopback(), &upstream).hooks(Arc::clone(&sums));
    let proxy = Proxy::builder().listener(listener).detailed_metrics(true);
    let proxy = RunningProxy::run(threads(proxy)).await;
    sums.0.set(proxy.handle.clone()).unwrap();
    let (handle, is_over) = (proxy.handle.clone(), Arc::new(AtomicBool::new(false)));
    let stop = Arc::clone(&is_over);
    let reader = std::thread::spawn(move || {
        let mut accepted = 0;
        while !stop.load(Relaxed) {
            let metrics = handle.metrics();
            assert_eq!(metrics.accepted, metrics.active + metrics.ended());
            assert!(metrics.accepted >= accepted);
            accepted = metrics.accepted;
            for worker in handle.worker_metrics() {
                assert_eq!(worker.accepted, worker.active + worker.ended());
            }
            let detailed = handle.detailed_metrics().unwrap();
            for listener in detailed.listeners {
                assert_eq!(listener.accepted, listener.active + listener.ended.total());
            }
            for upstream in detailed.upstreams {
                assert_eq!(upstream.sessions, upstream.active + upstream.ended.total());
            }
        }
        accepted
    });
    for _ in 0..200 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    }
    eventually("the ends", || proxy.metrics().active == 0).await;
    is_over.store(true, Relaxed);
    assert!(reader.join().unwrap() <= 200);
    let metrics = proxy.metrics();
    assert_eq!(
        (metrics.accepted, metrics.finished, metrics.panics),
        (200, 200, 0)
    );
    proxy.end().await;
}

#[tokio::test]
async fn limits_apply_to_all_workers_together() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let zone = ClientZone::builder().build();
    let listener = Listener::new(loopback(), &upstream).limit_clients(&zone, 3);
    let proxy = RunningProxy::run(threads(Proxy::builder().listener(listener))).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = proxy.connect().await;
        assert_eq!(client.read_u8().await.unwrap(), b'a');
        held.push(client);
    }
    for _ in 0..8 {
        assert_refused(proxy.addr).await;
    }
    drop(held);
    proxy.end().await;
    assert!(zone.is_empty());
}

#[tokio::test]
async fn a_limit_that_waits_serves_every_connection_in_the_end() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let limits = Limits::default().sessions(4);
    let proxy = threads(Proxy::builder().listen(loopback(), &upstream)).limits(limits);
    let proxy = RunningProxy::run(proxy).await;
    let clients: Vec<_> = (0..200).map(|_| tokio::spawn(ask(proxy.addr))).collect();
    for client in clients {
        assert_eq!(within("an answer", client).await.unwrap().unwrap(), "a");
    }
    proxy.end().await;
}

#[tokio::test]
async fn workers_drain_and_cut_their_sessions() {
    let upstream = upstream([Backend::new(listening("a").await)]);
    let limit = Some(Duration::from_millis(100));
    let proxy = threads(Proxy::builder().listen(loopback(), &upstream)).drain_timeout(limit);
    let proxy = RunningProxy::run(proxy).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = proxy.connect().await;
        assert_eq!(client.read_u8().await.unwrap(), b'a');
        clients.push(client);
    }
    let addr = proxy.addr;
    let report = proxy.end().await;
    assert_eq!((report.aborted, report.completed), (8, 0));
    for client in &mut clients {
        assert_reset(client).await;
    }
    TcpStream::connect(addr).await.unwrap_err();
}

#[tokio::test]
async fn dropping_a_server_ends_its_workers() {
    let upstream = upstream([Backend::new(listening("a").await)]);
    let proxy = RunningProxy::run(threads(Proxy::builder().listen(loopback(), &upstream))).await;
    let mut client = proxy.connect().await;
    assert_eq!(client.read_u8().await.unwrap(), b'a');
    proxy.server.abort();
    assert_reset(&mut client).await;
    eventually("the end", || proxy.metrics().ended() == 1).await;
    // Also of a server that never ran.
    let server = threads(Proxy::builder().listen(loopback(), &upstream));
    let server = server.build().unwrap().bind().await.unwrap();
    let addr = server.local_addrs()[0];
    drop(server);
    within("the refusal", async {
        while TcpStream::connect(addr).await.is_ok() {}
    })
    .await;
}

#[tokio::test]
async fn workers_share_an_inherited_socket() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let taken = std::net::TcpListener::bind(loopback()).unwrap();
    let listener = Listener::from_std(taken, &upstream).unwrap();
    let proxy = RunningProxy::run(threads(Proxy::builder().listener(listener))).await;
    for _ in 0..20 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    }
    proxy.end().await;
}

#[tokio::test]
async fn an_address_in_use_is_not_shared_by_default() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let first = RunningProxy::run(threads(Proxy::builder().listen(loopback(), &upstream))).await;
    let second = threads(Proxy::builder().listen(first.addr, &upstream));
    let second = second.bind_timeout(Duration::ZERO);
    let error = second.build().unwrap().bind().await.unwrap_err();
    assert!(matches!(error, BindError::Listen { addr, .. } if addr == first.addr));
    first.end().await;
}

#[tokio::test]
async fn an_address_can_be_shared_with_other_processes() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let listener = |addr| Listener::new(addr, &upstream).reuse_port(true);
    let first = RunningProxy::start(listener(loopback()), None).await;
    let second = RunningProxy::start(listener(first.addr), None).await;
    for _ in 0..100 {
        ask(first.addr).await.unwrap();
    }
    assert!(first.metrics().accepted > 10 && second.metrics().accepted > 10);
    first.end().await;
    second.end().await;
}

#[tokio::test]
async fn one_socket_accepts_both_families_and_backends_are_of_both() {
    let six = tokio::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let six_addr = six.local_addr().unwrap();
    test_support::nodes::serve("6", six);
    let backends = [named("4").await, six_addr].map(Backend::new);
    let upstream = upstream(backends);
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let proxy = RunningProxy::run(threads(Proxy::builder().listen(any, &upstream))).await;
    let port = proxy.addr.port();
    let mut answers = String::new();
    for _ in 0..2 {
        answers += &ask((Ipv4Addr::LOCALHOST, port).into()).await.unwrap();
        answers += &ask((Ipv6Addr::LOCALHOST, port).into()).await.unwrap();
    }
    assert_eq!(answers, "4646");
    proxy.end().await;

    let only = Listener::new(any, &upstream).ipv6_only(true);
    let proxy = RunningProxy::run(threads(Proxy::builder().listener(only))).await;
    let port = proxy.addr.port();
    let mut client = TcpStream::connect((Ipv6Addr::LOCALHOST, port))
        .await
        .unwrap();
    client.write_all(b"x").await.unwrap();
    drop(client);
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    proxy.end().await;
}
