//! Shutdown: refused connections, sessions that end, sessions that are cut.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use lb_core::{Backend, Snapshot};
use lb_discovery::Manual;
use lb_proxy::errors::BuildError;
use lb_proxy::reports::Phase;
use lb_proxy::{Handle, Listener, Proxy, Timeouts, Upstream, Workers};
use test_support::deadline::{eventually, within};
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, session, upstream};
use test_support::sockets::loopback;
use test_support::streams::{assert_reset, read_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_drain_refuses_new_connections_and_waits_for_open_sessions() {
    let (proxy, mut client, mut server) = session().await;
    proxy.handle.shutdown();
    let addr = proxy.addr;
    let mut knocked = 0;
    within("the refusal", async {
        while TcpStream::connect(addr).await.is_ok() {
            knocked += 1;
        }
    })
    .await;
    client.write_all(b"late").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await, b"late");
    drop(server);
    read_all(&mut client).await;
    let report = proxy.end().await;
    assert_eq!(report.aborted, 0);
    // A connection that was made in time may have been accepted.
    assert!((1..=1 + knocked).contains(&report.completed), "{report:?}");
}

#[tokio::test]
async fn a_session_that_outlasts_the_drain_timeout_is_reset_on_both_sides() {
    let backend = TcpListener::bind(loopback()).await.unwrap();
    let upstream = upstream([Backend::new(backend.local_addr().unwrap())]);
    let limit = Some(Duration::from_millis(100));
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), limit).await;
    let mut client = proxy.connect().await;
    let (mut server, _) = backend.accept().await.unwrap();
    client.write_all(b"x").await.unwrap();
    server.read_u8().await.unwrap();
    let report = proxy.end().await;
    assert_eq!((report.aborted, report.completed), (1, 0));
    assert!(report.elapsed >= Duration::from_millis(100));
    assert_reset(&mut client).await;
    assert_reset(&mut server).await;
}

#[tokio::test]
async fn abort_ends_every_session_at_once() {
    let (proxy, mut client, mut server) = session().await;
    client.write_all(b"x").await.unwrap();
    server.read_u8().await.unwrap();
    proxy.handle.abort();
    let report = proxy.end().await;
    assert_eq!((report.aborted, report.completed), (1, 0));
    assert_reset(&mut client).await;
    assert_reset(&mut server).await;
}

#[tokio::test]
async fn dropping_a_running_server_closes_listeners_and_sessions() {
    let (proxy, mut client, mut server) = session().await;
    client.write_all(b"x").await.unwrap();
    server.read_u8().await.unwrap();
    proxy.server.abort();
    assert_reset(&mut client).await;
    assert_reset(&mut server).await;
    let addr = proxy.addr;
    within("the refusal", async {
        while TcpStream::connect(addr).await.is_ok() {}
    })
    .await;
    eventually("the sessions' end", || proxy.metrics().active == 0).await;
}

#[tokio::test]
async fn a_future_can_start_the_drain() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let proxy = Proxy::builder()
        .listen(loopback(), &upstream)
        .build()
        .unwrap();
    let server = proxy.bind().await.unwrap();
    let report = within("the drain", server.run(std::future::ready(()))).await;
    assert_eq!((report.aborted, report.completed), (0, 0));
}

#[tokio::test]
async fn several_listeners_share_an_upstream() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let taken = std::net::TcpListener::bind(loopback()).unwrap();
    let proxy = Proxy::builder()
        .listen(loopback(), &upstream)
        .listener(Listener::from_std(taken, &upstream).unwrap())
        .build()
        .unwrap();
    let server = proxy.bind().await.unwrap();
    let addrs = server.local_addrs().to_vec();
    let running = tokio::spawn(server.run(pending()));
    for addr in addrs {
        assert_eq!(test_support::streams::ask(addr).await.unwrap(), "a");
    }
    running.abort();
}

#[tokio::test]
async fn any_running_server_follows_the_sources_of_an_upstream() {
    let (manual, handle) = Manual::new(Snapshot::default());
    let upstream = Upstream::builder("manual")
        .discovery(manual)
        .build()
        .unwrap();
    let known = || upstream.backends().snapshot().len();
    let start = async || RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    let (first, second) = (start().await, start().await);
    handle.add(Backend::new(named("a").await));
    eventually("the first backend", || known() == 1).await;
    first.end().await;
    handle.add(Backend::new(named("b").await));
    eventually("the second backend", || known() == 2).await;
    second.end().await;
    let third = start().await;
    handle.add(Backend::new(named("c").await));
    eventually("the third backend", || known() == 3).await;
    handle.set(Snapshot::default());
    eventually("the end of them all", || known() == 0).await;
    third.end().await;
}

#[tokio::test]
async fn the_error_for_an_address_in_use_has_the_address_and_the_reason() {
    let taken = TcpListener::bind(loopback()).await.unwrap();
    let addr = taken.local_addr().unwrap();
    let upstream = upstream([Backend::new(addr)]);
    let proxy = Proxy::builder().listen(addr, &upstream).build().unwrap();
    let error = proxy.bind().await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {addr}"));
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
    assert_eq!(
        source.map(std::io::Error::kind),
        Some(std::io::ErrorKind::AddrInUse)
    );
}

#[test]
fn build_refuses_settings_that_cannot_work() {
    assert_eq!(
        Proxy::builder().build().unwrap_err(),
        BuildError::NoListener
    );
    let error = Upstream::builder("empty").build().unwrap_err();
    assert!(error.to_string().contains("\"empty\""), "{error}");
    let upstream = upstream([]);
    let zero = Timeouts::default().idle(Some(Duration::ZERO));
    let listener = Listener::new(loopback(), &upstream).timeouts(zero);
    let error = Proxy::builder().listener(listener).build().unwrap_err();
    assert_eq!(error, BuildError::ZeroTimeout { timeout: "idle" });
}

#[tokio::test]
async fn readiness_ends_first_and_connections_are_accepted_until_the_drain() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let delay = Duration::from_millis(300);
    let proxy = Proxy::builder().listen(loopback(), &upstream);
    let proxy = RunningProxy::run(proxy.pre_stop_delay(delay)).await;
    let handle = proxy.handle.clone();
    within("readiness", handle.reached(Phase::Serving)).await;
    assert!(handle.is_ready());
    let ended = tokio::spawn(proxy.end());
    within("the phase Leaving", handle.reached(Phase::Leaving)).await;
    assert!(!handle.is_ready());
    // Connections are served until accepting ends, and refused afterwards.
    let mut served = 0;
    let addr = handle.local_addrs().first().copied();
    while let Some(addr) = addr {
        match test_support::streams::ask(addr).await {
            Ok(answer) => {
                assert_eq!(answer, "a");
                served += 1;
            }
            Err(_) => break,
        }
    }
    assert!(
        handle.phase() >= Phase::Draining,
        "refused before its phase"
    );
    assert!(served > 0);
    let report = ended.await.unwrap();
    assert!(report.pre_stop >= delay);
    assert_eq!(report.aborted, 0);
    assert_eq!(handle.phase(), Phase::Ended);
}

#[tokio::test]
async fn the_drain_report_matches_what_the_clients_saw() {
    let upstream = upstream([Backend::new(test_support::nodes::listening("a").await)]);
    let proxy = Proxy::builder()
        .listen(loopback(), &upstream)
        .pre_stop_delay(Duration::from_millis(100))
        .drain_timeout(Some(Duration::from_secs(1)))
        .close_spread(Duration::from_millis(640));
    let proxy = RunningProxy::run(proxy).await;
    let addr = proxy.addr;
    let handle = proxy.handle.clone();
    let mut clients = JoinSet::new();
    for number in 0..100 {
        let mut client = proxy.connect().await;
        client.read_u8().await.unwrap();
        let handle = handle.clone();
        clients.spawn(async move {
            if number % 2 == 0 {
                handle.reached(Phase::Draining).await;
                client.shutdown().await.unwrap();
            }
            client.read_to_end(&mut Vec::new()).await.is_ok()
        });
    }
    let ended = tokio::spawn(proxy.end());
    within("the drain", handle.reached(Phase::Draining)).await;
    let mut seen = (0, 0);
    while let Some(completed) = within("an end", clients.join_next()).await {
        match completed.unwrap() {
            true => seen.0 += 1,
            false => seen.1 += 1,
        }
    }
    let report = ended.await.unwrap();
    assert_eq!((report.completed, report.aborted), seen);
    assert_eq!(seen, (50, 50));
    assert!(report.draining >= Duration::from_secs(1));
    assert_eq!(report.elapsed, report.draining + report.closing);
    TcpStream::connect(addr).await.unwrap_err();
}

/// The sessions of a shutdown as the clients saw them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Seen {
    /// Served to the end.
    completed: u64,
    /// Reset after they were served.
    cut: u64,
}

/// Connects repeatedly until a connection is refused. Fails if that happens before accepting has ended.
async fn knock(handle: Handle, addr: SocketAddr) -> Seen {
    let mut seen = Seen::default();
    loop {
        let served = async {
            let mut client = TcpStream::connect(addr).await?;
            client.read_u8().await?;
            client.shutdown().await?;
            client.read_to_end(&mut Vec::new()).await
        };
        if let Err(error) = within("an answer", served).await {
            assert!(handle.phase() >= Phase::Draining, "too early: {error}");
            return seen;
        }
        seen.completed += 1;
    }
}

/// Keeps its session open; if `patient`, until the proxy cuts it.
async fn stay(handle: Handle, mut client: TcpStream, patient: bool) -> Seen {
    if !patient {
        handle.reached(Phase::Draining).await;
        client.shutdown().await.unwrap();
    }
    let end = client.read_to_end(&mut Vec::new()).await;
    Seen {
        completed: end.is_ok().into(),
        cut: end.is_err().into(),
    }
}

#[tokio::test]
async fn a_shutdown_under_load_goes_through_its_phases_and_reports_what_clients_saw() {
    for workers in [Workers::CurrentRuntime, Workers::Threads(2)] {
        let upstream = upstream([Backend::new(test_support::nodes::listening("a").await)]);
        let proxy = Proxy::builder()
            .workers(workers)
            .listen(loopback(), &upstream)
            .pre_stop_delay(Duration::from_millis(300))
            .drain_timeout(Some(Duration::from_secs(2)))
            .close_spread(Duration::from_millis(64));
        let proxy = RunningProxy::run(proxy).await;
        let (addr, handle) = (proxy.addr, proxy.handle.clone());
        let mut clients = JoinSet::new();
        for number in 0..200 {
            let mut client = proxy.connect().await;
            client.read_u8().await.unwrap();
            clients.spawn(stay(handle.clone(), client, number % 4 == 0));
        }
        for _ in 0..20 {
            clients.spawn(knock(handle.clone(), addr));
        }
        eventually("the load", || proxy.metrics().accepted > 400).await;
        assert!(handle.is_ready());
        let ended = tokio::spawn(proxy.end());
        within("the beginning", handle.reached(Phase::Leaving)).await;
        assert!(!handle.is_ready());
        let before = handle.metrics();
        within("the drain", handle.reached(Phase::Draining)).await;
        let accepted = handle.metrics().accepted;
        assert!(accepted > before.accepted, "accepting went on");
        let mut seen = Seen::default();
        while let Some(client) = within("an end", clients.join_next()).await {
            let Seen { completed, cut } = client.unwrap();
            seen.completed += completed;
            seen.cut += cut;
        }
        let report = ended.await.unwrap();
        let metrics = handle.metrics();
        assert_eq!((report.aborted, seen.cut), (50, 50));
        // The sessions of clients that stayed, and sessions that had not ended when the drain began.
        let not_ended = metrics.accepted - before.ended() - report.aborted;
        assert!((150..=not_ended).contains(&report.completed), "{report:?}");
        assert_eq!(metrics.accepted, seen.completed + seen.cut);
        assert_eq!(metrics.finished, seen.completed);
    }
}
