//! `Upstream::connect`: everything that a session does, without one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lb_core::policy::{LeastTime, WeightedRoundRobin};
use lb_core::{Backend, Snapshot};
use lb_discovery::Manual;
use lb_proxy::balancing::{OnBackendLoss, Queue};
use lb_proxy::events::{CloseReason, NoBackendCause};
use lb_proxy::proxy_protocol::SendProxy;
use lb_proxy::reports::RelayEnd;
use lb_proxy::settings::BindSource;
use lb_proxy::{Pool, Relay, Retry, Upstream, UpstreamBuilder};
use test_support::deadline::{eventually, ms, within};
use test_support::nodes::{listening, named};
use test_support::proxy::{eager, in_flight};
use test_support::sockets::{BlackHole, loopback, refusing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn builder() -> UpstreamBuilder {
    Upstream::builder("alone")
        .policy(WeightedRoundRobin::new())
        .discovery_config(eager())
}

fn fixed(builder: UpstreamBuilder, addrs: impl IntoIterator<Item = SocketAddr>) -> Upstream {
    builder.fixed(&Snapshot::from_addrs(addrs)).unwrap()
}

#[tokio::test]
async fn a_connection_passes_over_a_dead_backend_and_counts_until_it_is_dropped() {
    let (_held, dead) = refusing();
    let upstream = fixed(builder(), [dead, listening("a").await]);
    let mut connected = upstream.connect(b"").await.unwrap();
    assert_eq!(connected.read_u8().await.unwrap(), b'a');
    assert_ne!(connected.backend().addr, dead);
    assert!(connected.local_addr().unwrap().ip().is_loopback());
    assert_eq!(in_flight(&upstream), 1);
    let set = upstream.backends();
    let ejected = |now| set.status(now).next().unwrap().ejected_until.is_some();
    assert!(ejected(upstream.now()), "the dead one");
    drop(connected);
    assert_eq!(in_flight(&upstream), 0);
}

#[tokio::test]
async fn an_error_says_how_many_attempts_failed_and_why() {
    let (_held_a, a) = refusing();
    let (_held_b, b) = refusing();
    let upstream = fixed(builder(), [a, b]);
    let error = upstream.connect(b"").await.unwrap_err();
    let cause = Some(NoBackendCause::Tried);
    assert_eq!((error.attempts, error.cause), (2, cause));
    let text = error.to_string();
    assert!(
        text.starts_with("no connection with upstream \"alone\" after 2 attempts: "),
        "{text}"
    );
    let error = io::Error::from(error);
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);

    let one = Retry::default().tries(1);
    let upstream = fixed(builder(), [a, b]);
    let error = upstream.connect(b"").retry(one).await.unwrap_err();
    assert_eq!(
        (error.attempts, error.cause),
        (1, Some(NoBackendCause::Tries))
    );
}

#[tokio::test]
async fn time_outs_are_those_of_the_attempt_and_of_the_whole() {
    let hole = BlackHole::open();
    let upstream = fixed(builder(), [hole.addr, listening("a").await]);
    let mut connected = upstream.connect(b"").timeout(ms(100)).await.unwrap();
    assert_eq!(connected.read_u8().await.unwrap(), b'a');
    drop(connected);

    let (source, _handle) = Manual::new(Snapshot::default());
    let unfollowed = builder().discovery(source).build().unwrap();
    let soon = Retry::default().deadline(Some(ms(100)));
    let error = unfollowed.connect(b"").retry(soon).await.unwrap_err();
    assert_eq!(error.cause, Some(NoBackendCause::NotReady));

    let upstream = fixed(builder(), [hole.addr]);
    let connecting = tokio::spawn(async move {
        let result = upstream.connect(b"").await;
        (upstream, result.is_ok())
    });
    connecting.abort();
    assert!(connecting.await.is_err());
}

#[tokio::test]
async fn a_future_that_is_dropped_gives_its_pick_back() {
    let hole = BlackHole::open();
    let upstream = fixed(builder(), [hole.addr]);
    let connect = tokio::time::timeout(ms(100), upstream.connect(b""));
    assert!(connect.await.is_err());
    assert_eq!(in_flight(&upstream), 0);
}

/// What a backend receives first from a connection with the header `send`, and then.
async fn received(send: SendProxy, ends: Option<(SocketAddr, SocketAddr)>) -> (String, String) {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let upstream = fixed(
        builder().send_proxy(Some(send)),
        [listener.local_addr().unwrap()],
    );
    let mut connect = upstream.connect(b"");
    if let Some((client, destination)) = ends {
        connect = connect.client(client, destination);
    }
    let mut connected = connect.await.unwrap();
    connected.write_all(b"hello").await.unwrap();
    connected.shutdown().await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut all = String::new();
    server.read_to_string(&mut all).await.unwrap();
    let (header, rest) = all.split_once("\r\n").unwrap();
    (header.to_owned(), rest.to_owned())
}

#[tokio::test]
async fn the_header_of_the_upstream_goes_first() {
    let ends = (
        "192.0.2.1:5000".parse().unwrap(),
        "192.0.2.9:446".parse().unwrap(),
    );
    let (header, rest) = received(SendProxy::v1(), Some(ends)).await;
    assert_eq!(header, "PROXY TCP4 192.0.2.1 192.0.2.9 5000 446");
    assert_eq!(rest, "hello");
    let (header, rest) = received(SendProxy::v1(), None).await;
    assert_eq!((&*header, &*rest), ("PROXY UNKNOWN", "hello"));
}

#[tokio::test]
async fn the_header_goes_also_if_the_backend_speaks_first() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let upstream = fixed(builder().send_proxy(Some(SendProxy::v1())), [addr]);
    let server = tokio::spawn(async move {
        let (mut server, _) = listener.accept().await.unwrap();
        let mut header = [0; 15];
        server.read_exact(&mut header).await.unwrap();
        server.write_all(b"welcome").await.unwrap();
        header
    });
    let mut connected = upstream.connect(b"").await.unwrap();
    let mut welcome = String::new();
    within("the answer", connected.read_to_string(&mut welcome))
        .await
        .unwrap();
    assert_eq!(welcome, "welcome");
    assert_eq!(&server.await.unwrap(), b"PROXY UNKNOWN\r\n");
}

#[tokio::test]
async fn connections_wait_in_the_queue_for_room() {
    let narrow = Backend::new(listening("a").await).max_conns(1);
    let queue = Queue::new(1);
    let upstream = builder().queue(Some(queue));
    let upstream = upstream.fixed(&Snapshot::from_backends([narrow])).unwrap();
    let first = upstream.connect(b"").await.unwrap();
    let waiting = tokio::spawn({
        let upstream = upstream.clone();
        async move { upstream.connect(b"").await }
    });
    eventually("the second connection", || upstream.queued() == 1).await;
    let third = upstream.connect(b"").await.unwrap_err();
    assert_eq!(third.cause, Some(NoBackendCause::Queue));
    drop(first);
    let second = within("the second", waiting).await.unwrap().unwrap();
    assert_eq!(in_flight(&upstream), 1);
    drop(second);
    assert_eq!(in_flight(&upstream), 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_comes_from_the_source_address() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let upstream = fixed(builder(), [listener.local_addr().unwrap()]);
    let source = "127.0.0.2".parse().unwrap();
    let connect = upstream.connect(b"");
    let _connected = connect
        .bind_source(BindSource::any().addr(source))
        .await
        .unwrap();
    let (_, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), source);
}

#[tokio::test]
async fn a_removed_backend_loses_its_connections_if_the_upstream_says_so() {
    let a = listening("a").await;
    let (source, handle) = Manual::new(Snapshot::from_addrs([a]));
    let close = OnBackendLoss::Close {
        spread: Duration::ZERO,
    };
    let upstream = builder().discovery(source).on_removed(close);
    let pool: Pool = upstream.build().unwrap().spawn().unwrap();
    let connected = pool.upstream().connect(b"").await.unwrap();
    let kept = tokio::time::timeout(ms(20), connected.lost());
    assert!(kept.await.is_err());
    handle.remove(a);
    let reason = within("the loss", connected.lost()).await;
    assert_eq!(reason, CloseReason::BackendRemoved);
}

#[tokio::test]
async fn a_relay_to_a_connection_is_that_of_a_session() {
    let upstream = fixed(builder(), [named("a").await]);
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let connected = upstream.connect(b"").await.unwrap();
    let relay = tokio::spawn(async move { Relay::new().run_to(accepted, connected).await });
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "a");
    let report = within("the relay", relay).await.unwrap();
    assert_eq!(report.end, RelayEnd::Finished);
    assert_eq!((report.bytes_to_backend, report.bytes_to_client), (5, 1));
    assert_eq!(in_flight(&upstream), 0);
}

/// A backend that waits for `first`, sends its `name` and closes.
async fn answering_after(name: u8, first: Duration) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::time::sleep(first).await;
            let _ = stream.write_all(&[name]).await;
        }
    });
    addr
}

#[tokio::test]
async fn a_relay_to_a_connection_reports_the_first_byte_of_its_backend() {
    let backends = [
        answering_after(b's', ms(400)).await,
        answering_after(b'f', Duration::ZERO).await,
    ];
    let upstream = builder().policy(LeastTime::first_byte());
    let upstream = fixed(upstream, backends);
    let mut names = String::new();
    for _ in 0..6 {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let mut client = client.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let connected = upstream.connect(b"").await.unwrap();
        let relay = tokio::spawn(async move { Relay::new().run_to(accepted, connected).await });
        client.shutdown().await.unwrap();
        client.read_to_string(&mut names).await.unwrap();
        within("the relay", relay).await.unwrap();
    }
    assert_eq!(names, "sfffff");
}
