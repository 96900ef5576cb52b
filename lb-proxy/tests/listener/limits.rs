//! Limits: connections that are served, wait or are refused, and the counters.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::access::{Access, ClientZone, Excess, Network, Rate};
use lb_proxy::balancing::{HashKey, KeyPart};
use lb_proxy::events::{Connection, RefusalDetail, Summary};
use lb_proxy::{Hooks, Limits, Listener, Proxy};
use test_support::deadline::{eventually, within};
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::loopback;
use test_support::streams::{ask, assert_refused, assert_reset};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

fn sessions(n: usize) -> Limits {
    Limits::default().sessions(n)
}

/// A proxy over one backend that answers "a".
async fn over_a(settings: impl FnOnce(Listener) -> Listener) -> RunningProxy {
    let upstream = upstream([Backend::new(named("a").await)]);
    RunningProxy::start(settings(Listener::new(loopback(), &upstream)), None).await
}

/// A client that was answered and keeps its session open.
async fn stays(proxy: &RunningProxy) -> TcpStream {
    let mut client = proxy.connect().await;
    assert_eq!(client.read_u8().await.unwrap(), b'a');
    client
}

async fn try_from(source: [u8; 4], proxy: &RunningProxy) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    socket.connect(proxy.addr).await
}

async fn from(source: [u8; 4], proxy: &RunningProxy) -> TcpStream {
    try_from(source, proxy).await.unwrap()
}

#[tokio::test]
async fn connections_from_denied_addresses_are_reset() {
    let denied: IpAddr = [127, 0, 0, 2].into();
    let all = "127.0.0.0/8".parse::<Network>().unwrap();
    let access = Access::new().deny(denied).allow(all);
    let proxy = over_a(|listener| listener.access(access)).await;
    if let Ok(mut denied) = try_from([127, 0, 0, 2], &proxy).await {
        assert_reset(&mut denied).await;
    }
    let mut other = from([127, 0, 0, 3], &proxy).await;
    assert_eq!(other.read_u8().await.unwrap(), b'a');
    drop(other);
    eventually("the count", || proxy.metrics().access_denied == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn the_session_limit_of_a_zone_applies_to_each_client() {
    let zone = ClientZone::builder().build();
    let proxy = over_a(|listener| listener.limit_clients(&zone, 1)).await;
    let first = stays(&proxy).await;
    assert_refused(proxy.addr).await;
    let mut other = from([127, 0, 0, 2], &proxy).await;
    assert_eq!(other.read_u8().await.unwrap(), b'a');
    drop((first, other));
    eventually("the end of the session", || zone.is_empty()).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    assert_eq!(proxy.metrics().client_sessions, 1);
    proxy.end().await;
    assert!(zone.is_empty());
}

#[tokio::test]
async fn a_client_that_rules_and_limits_refuse_is_refused_by_what_comes_first() {
    let denied = "127.0.0.2".parse::<IpAddr>().unwrap();
    for limit_first in [false, true] {
        let zone = ClientZone::builder().build();
        // All clients are one.
        let key = KeyPart::custom("all", |_| HashKey::from_bytes(b"all"));
        let proxy = over_a(|listener| {
            let listener = listener.limit_keys(&zone, [key], 1);
            let access = Access::new()
                .deny(denied)
                .allow("0.0.0.0/0".parse::<Network>().unwrap());
            listener.access(access).limit_before_access(limit_first)
        });
        let proxy = proxy.await;
        let first = stays(&proxy).await;
        assert_reset(&mut from([127, 0, 0, 2], &proxy).await).await;
        let counts = || {
            (
                proxy.metrics().access_denied,
                proxy.metrics().client_sessions,
            )
        };
        let expected = if limit_first { (0, 1) } else { (1, 0) };
        eventually("the refusal", || counts() == expected).await;
        drop(first);
        proxy.end().await;
    }
}

#[tokio::test]
async fn a_limit_by_key_counts_the_clients_of_one_key_together() {
    let zone = ClientZone::builder().build();
    // Clients of 127.0.0.0/24 but .9 are one; .9 is not counted.
    let key = KeyPart::custom("network", |connection| match connection.client.ip() {
        IpAddr::V4(ip) if ip.octets()[3] != 9 => HashKey::from_bytes(&ip.octets()[..3]),
        _ => HashKey::none(),
    });
    let proxy = over_a(|listener| listener.limit_keys(&zone, [key], 1)).await;
    let first = stays(&proxy).await;
    if let Ok(mut same) = try_from([127, 0, 0, 2], &proxy).await {
        assert_reset(&mut same).await;
    }
    for other in [[127, 0, 1, 2], [127, 0, 0, 9]] {
        let mut client = from(other, &proxy).await;
        assert_eq!(client.read_u8().await.unwrap(), b'a', "{other:?}");
    }
    drop(first);
    eventually("the end of the sessions", || zone.is_empty()).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    proxy.end().await;
}

#[derive(Debug, Default)]
struct LimitObserver {
    told: AtomicUsize,
    at_end: AtomicUsize,
}

impl Hooks for LimitObserver {
    fn would_refuse(&self, _: &Connection, detail: &RefusalDetail) {
        assert!(matches!(detail, RefusalDetail::ClientLimit { limit: 0 }));
        self.told.fetch_add(1, Relaxed);
    }

    fn close(&self, _: &Connection, summary: &Summary<'_>) {
        assert!(summary.refusal.is_none());
        let observed = summary.observed.is_some();
        self.at_end.fetch_add(usize::from(observed), Relaxed);
    }
}

#[tokio::test]
async fn a_dry_run_of_a_limit_serves_the_client_and_calls_the_hooks() {
    let zone = ClientZone::builder().build();
    let hooks = Arc::new(LimitObserver::default());
    let proxy = over_a(|listener| {
        let listener = listener.limit_clients(&zone, 1).limit_dry_run(true);
        listener.hooks(hooks.clone())
    });
    let proxy = proxy.await;
    let first = stays(&proxy).await;
    let second = stays(&proxy).await;
    assert_eq!(hooks.told.load(Relaxed), 1);
    drop((first, second));
    eventually("the end of the sessions", || proxy.metrics().active == 0).await;
    assert!(zone.is_empty(), "a session over the limit is not counted");
    assert_eq!(hooks.at_end.load(Relaxed), 1);
    assert_eq!(proxy.metrics().client_sessions, 0);
    proxy.end().await;
}

#[tokio::test]
async fn the_rate_of_a_zone_applies_to_each_client() {
    let hour = Rate::new(2, Duration::from_secs(3600));
    let zone = ClientZone::builder().rate(Some(hour)).build();
    let proxy = over_a(|listener| listener.limit_clients(&zone, u32::MAX)).await;
    for _ in 0..2 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    }
    assert_refused(proxy.addr).await;
    let mut other = from([127, 0, 0, 2], &proxy).await;
    assert_eq!(other.read_u8().await.unwrap(), b'a');
    drop(other);
    assert_eq!(proxy.metrics().client_rate, 1);
    proxy.end().await;
}

#[tokio::test]
async fn a_zone_full_of_sessions_refuses_further_clients() {
    // One entry in each of the zone's sixteen shards.
    let zone = ClientZone::builder().capacity(1).build();
    let proxy = over_a(|listener| listener.limit_clients(&zone, 1)).await;
    let mut held = Vec::new();
    for host in 1..=64 {
        // The reset may arrive before the client's connect returns.
        held.push(try_from([127, 0, 1, host], &proxy).await);
    }
    eventually("all decisions", || {
        let metrics = proxy.metrics();
        metrics.client_zone_full + zone.len() as u64 == 64
    })
    .await;
    assert!(zone.len() <= 16);
    assert!(proxy.metrics().client_zone_full >= 48);
    drop(held);
    proxy.end().await;
    assert!(zone.is_empty());
}

#[tokio::test]
async fn above_the_session_limit_connections_wait_in_the_kernel() {
    let proxy = over_a(|listener| listener.limits(sessions(1))).await;
    let first = stays(&proxy).await;
    let mut second = proxy.connect().await;
    eventually("the pause", || proxy.metrics().accept_pauses == 1).await;
    assert_eq!(proxy.metrics().accepted, 1, "the second is not accepted");
    drop(first);
    assert_eq!(within("the turn", second.read_u8()).await.unwrap(), b'a');
    drop(second);
    proxy.end().await;
}

#[tokio::test]
async fn above_the_session_limit_connections_can_be_refused() {
    let limits = sessions(1).excess(Excess::Refuse);
    let proxy = over_a(|listener| listener.limits(limits)).await;
    let first = stays(&proxy).await;
    assert_refused(proxy.addr).await;
    drop(first);
    eventually("the end of the session", || proxy.metrics().active == 0).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    assert_eq!(proxy.metrics().sessions_refused, 1);
    proxy.end().await;
}

#[tokio::test]
async fn the_session_limit_of_a_proxy_is_shared_by_its_listeners() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let listener = || Listener::new(loopback(), &upstream);
    let proxy = Proxy::builder()
        .listener(listener())
        .listener(listener())
        .limits(sessions(1))
        .build()
        .unwrap();
    let server = proxy.bind().await.unwrap();
    let (addrs, handle) = (server.local_addrs(), server.handle());
    let running = tokio::spawn(server.run(std::future::pending()));
    let mut first = TcpStream::connect(addrs[0]).await.unwrap();
    assert_eq!(first.read_u8().await.unwrap(), b'a');
    // Both accept loops were in accept: each accepts one connection, which waits for a permit.
    let mut second = TcpStream::connect(addrs[1]).await.unwrap();
    eventually("the second", || handle.metrics().accepted == 2).await;
    drop(first);
    assert_eq!(within("the turn", second.read_u8()).await.unwrap(), b'a');
    drop(second);
    handle.shutdown();
    running.await.unwrap();
}

#[tokio::test]
async fn above_the_connection_rate_connections_wait_or_are_refused() {
    let rate = Rate::new(1, Duration::from_millis(200));
    let limits = Limits::default().rate(Some(rate));
    let proxy = over_a(|listener| listener.limits(limits)).await;
    let begin = std::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    }
    assert!(begin.elapsed() >= Duration::from_millis(400));
    proxy.end().await;

    let hour = Rate::new(1, Duration::from_secs(3600));
    let limits = Limits::default().rate(Some(hour)).excess(Excess::Refuse);
    let proxy = over_a(|listener| listener.limits(limits)).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    assert_refused(proxy.addr).await;
    assert_eq!(proxy.metrics().rate_refused, 1);
    proxy.end().await;
}

#[tokio::test]
async fn a_connection_that_waits_for_a_limit_does_not_delay_a_shutdown() {
    let limits = Limits::default().rate(Some(Rate::new(1, Duration::from_secs(3600))));
    let proxy = over_a(|listener| listener.limits(limits)).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    let mut waiting = proxy.connect().await;
    eventually("the second", || proxy.metrics().accepted == 2).await;
    let handle = proxy.handle.clone();
    proxy.end().await;
    assert_reset(&mut waiting).await;
    assert_eq!(handle.metrics().aborted, 1);
}
