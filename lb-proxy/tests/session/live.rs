//! Live sessions: what is listed of them, and closing them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lb_core::{Backend, Snapshot};
use lb_discovery::Static;
use lb_proxy::balancing::Queue;
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::events::{CloseReason, Connection, Summary};
use lb_proxy::proxy_protocol::ProxyProtocol;
use lb_proxy::reports::{SessionFilter, SessionOrder, SessionPhase, SessionReport};
use lb_proxy::{Hooks, Listener, Proxy, ProxyBuilder, Timeouts, Upstream, Workers};
use test_support::deadline::eventually;
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, in_flight, reload, round_robin, upstream};
use test_support::sockets::{BlackHole, loopback};
use test_support::streams::{assert_reset, read_until_reset};
use test_support::tls::client_hello;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The reasons of the sessions that ended, and HAProxy's letters for them.
#[derive(Debug, Default)]
struct Reasons(Mutex<Vec<(CloseReason, String)>>);

impl Hooks for Reasons {
    fn close(&self, _: &Connection, summary: &Summary<'_>) {
        assert_eq!(summary.upstream.map(Upstream::name), Some("test"));
        let letters = summary.termination().to_string();
        self.0.lock().unwrap().push((summary.reason, letters));
    }
}

fn tracked(listener: Listener) -> ProxyBuilder {
    let proxy = Proxy::builder().listener(listener).drain_timeout(None);
    proxy.track_sessions(true)
}

fn all(proxy: &RunningProxy) -> Vec<SessionReport> {
    proxy.handle.sessions(&SessionFilter::new()).sessions
}

/// A client that has read the name of its backend.
async fn served(proxy: &RunningProxy) -> TcpStream {
    let mut client = proxy.connect().await;
    client.read_u8().await.unwrap();
    client
}

/// The only session, once it is in `phase`.
async fn in_phase(proxy: &RunningProxy, phase: SessionPhase) -> SessionReport {
    let filter = SessionFilter::new().phase(phase);
    let list = || proxy.handle.sessions(&filter).sessions;
    eventually("the phase", || list().len() == 1).await;
    list().remove(0)
}

#[tokio::test]
async fn a_session_is_listed_from_its_first_bytes_to_its_end() {
    let backend = Backend::new(listening("b").await).name("pod-7");
    let upstream = upstream([backend.clone()]);
    let header = ProxyProtocol::required([loopback().ip().into()].into_iter().collect());
    let listener = Listener::new(loopback(), &upstream)
        .preread(Arc::new(header))
        .preread(Arc::new(ClientHelloReader::new()));
    let proxy = RunningProxy::run(tracked(listener)).await;
    let mut client = proxy.connect().await;
    let local = client.local_addr().unwrap();
    let session = in_phase(&proxy, SessionPhase::Preread).await;
    assert_eq!((session.listener, session.peer), (proxy.addr, local));
    assert_eq!((session.client, session.upstream), (local, None));

    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n";
    client.write_all(header).await.unwrap();
    let hello = client_hello("www.example.com");
    client.write_all(&hello).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'b');
    client.write_all(b"more").await.unwrap();
    let sent = hello.len() as u64 + 4;
    eventually("the bytes", || all(&proxy)[0].bytes_to_backend == sent).await;
    let filter = SessionFilter::new().client("192.0.2.0/24".parse().unwrap());
    let list = proxy.handle.sessions(&filter.more_bytes_than(sent));
    assert_eq!(list.matched, 1);
    let session = &list.sessions[0];
    assert_eq!(session.phase, SessionPhase::Relaying);
    assert_eq!(session.client, "192.0.2.7:5000".parse().unwrap());
    assert_eq!(session.peer, local);
    assert_eq!(session.server_name(), Some("www.example.com"));
    assert_eq!(session.upstream.as_deref(), Some("test"));
    assert_eq!(session.backend_endpoint(), Some(backend.endpoint()));
    let name = session.backend.as_ref().and_then(|b| b.name.as_deref());
    assert_eq!(name, Some("pod-7"));
    assert_eq!((session.bytes_to_client, session.bytes()), (1, sent + 1));

    client.shutdown().await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    eventually("the end", || all(&proxy).is_empty()).await;
    proxy.end().await;
}

#[tokio::test]
async fn a_session_that_waits_or_connects_is_listed_and_can_be_closed() {
    let hole = BlackHole::open();
    let backend = Backend::new(hole.addr).max_conns(1);
    let source = Static::new(Snapshot::from_backends([backend]));
    let upstream = Upstream::builder("test")
        .discovery(source)
        .queue(Some(Queue::new(10)))
        .build()
        .unwrap();
    let reasons = Arc::new(Reasons::default());
    let timeouts = Timeouts::default().connect(Duration::from_secs(60));
    let listener = Listener::new(loopback(), &upstream);
    let listener = listener.timeouts(timeouts).hooks(reasons.clone());
    let proxy = RunningProxy::run(tracked(listener)).await;
    let mut first = proxy.connect().await;
    let connecting = in_phase(&proxy, SessionPhase::Connecting).await;
    assert_eq!(connecting.backend_endpoint(), Some(hole.addr.into()));
    let mut second = proxy.connect().await;
    let queued = in_phase(&proxy, SessionPhase::Queued).await;
    assert_eq!(queued.backend_endpoint(), None);
    assert_eq!(queued.upstream.as_deref(), Some("test"));

    let close = |id| proxy.handle.close_sessions(&SessionFilter::new().id(id));
    assert_eq!(close(queued.id), 1);
    assert_reset(&mut second).await;
    assert_eq!(close(connecting.id), 1);
    assert_reset(&mut first).await;
    eventually("the ends", || all(&proxy).is_empty()).await;
    assert_eq!(close(queued.id), 0);
    let expected = ["KQ", "KC"].map(|letters| (CloseReason::Operator, letters.to_owned()));
    assert_eq!(*reasons.0.lock().unwrap(), expected);
    assert_eq!(proxy.metrics().operator_closed, 2);
    assert_eq!((upstream.queued(), in_flight(&upstream)), (0, 0));
    proxy.end().await;
}

#[tokio::test]
async fn the_sessions_of_one_backend_are_closed_and_all_others_go_on() {
    let nodes = [listening("a").await, listening("b").await];
    let upstream = upstream(nodes.map(Backend::new));
    let threads = Workers::Threads(2);
    let proxy = tracked(Listener::new(loopback(), &upstream)).workers(threads);
    let proxy = RunningProxy::run(proxy).await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = proxy.connect().await;
        clients.push((client.read_u8().await.unwrap(), client));
    }
    let of_first = SessionFilter::new().backend(nodes[0]);
    let oldest = proxy.handle.sessions(&of_first.clone().limit(3));
    assert_eq!((oldest.matched, oldest.sessions.len()), (20, 3));
    let ages: Vec<_> = oldest.sessions.iter().map(|one| one.age).collect();
    assert!(ages.is_sorted_by(|older, younger| older >= younger));
    assert_eq!(proxy.handle.close_sessions(&of_first), 20);
    assert_eq!(proxy.handle.close_sessions(&of_first), 0);
    for (name, client) in &mut clients {
        match name {
            b'a' => assert_reset(client).await,
            _ => {
                client.shutdown().await.unwrap();
                client.read_to_end(&mut Vec::new()).await.unwrap();
            }
        }
    }
    eventually("the ends", || proxy.metrics().active == 0).await;
    let metrics = proxy.metrics();
    assert_eq!((metrics.operator_closed, metrics.finished), (20, 20));
    assert!(all(&proxy).is_empty());
    proxy.end().await;
}

#[tokio::test]
async fn a_reload_switches_the_list_for_new_sessions() {
    let upstream = round_robin("web", listening("w").await);
    let untracked = || Proxy::builder().drain_timeout(None);
    let proxy = RunningProxy::run(untracked().listen(loopback(), &upstream)).await;
    let described = || Listener::new(loopback(), &upstream);
    let before = served(&proxy).await;
    assert!(all(&proxy).is_empty());
    assert_eq!(proxy.handle.close_sessions(&SessionFilter::new()), 0);

    reload(&proxy, tracked(described())).await.unwrap();
    let during = served(&proxy).await;
    let sessions = all(&proxy);
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].peer, during.local_addr().unwrap());

    let off = untracked().listener(described());
    reload(&proxy, off).await.unwrap();
    let after = served(&proxy).await;
    assert_eq!(all(&proxy)[0].id, sessions[0].id);
    let by_bytes = SessionFilter::new().upstream("web");
    let by_bytes = by_bytes.order(SessionOrder::MostBytes);
    assert_eq!(proxy.handle.sessions(&by_bytes).matched, 1);
    drop((before, during, after));
    eventually("the end", || all(&proxy).is_empty()).await;
    proxy.end().await;
}

#[tokio::test]
async fn a_closed_session_delivers_its_bytes_and_is_listed_until_then() {
    let (proxy, mut client, mut node) = {
        let node = tokio::net::TcpListener::bind(loopback()).await.unwrap();
        let upstream = upstream([Backend::new(node.local_addr().unwrap())]);
        let proxy = RunningProxy::run(tracked(Listener::new(loopback(), &upstream))).await;
        let client = proxy.connect().await;
        (proxy, client, node.accept().await.unwrap().0)
    };
    let sent = vec![7; 8 << 20];
    let writer = tokio::spawn(async move {
        let _ = node.write_all(&sent).await;
        node
    });
    // The client does not read, so the relay holds bytes.
    let moved = || all(&proxy)[0].bytes_to_client;
    eventually("bytes", || moved() > 0).await;
    assert_eq!(proxy.handle.close_sessions(&SessionFilter::new()), 1);
    assert_eq!(all(&proxy)[0].phase, SessionPhase::Closing);
    let read = read_until_reset(&mut client).await;
    assert_eq!(read.len() as u64, proxy.metrics().bytes_to_clients);
    eventually("the end", || all(&proxy).is_empty()).await;
    drop(writer.await.unwrap());
    proxy.end().await;
}

/// A session whose client does not read delivers for a minute after a close. A reset does not wait for that, neither after a
/// close nor the first time.
#[tokio::test]
async fn a_reset_ends_a_session_whose_client_does_not_read_at_once() {
    let listener = tokio::net::TcpListener::bind(loopback()).await.unwrap();
    let upstream = upstream([Backend::new(listener.local_addr().unwrap())]);
    let proxy = RunningProxy::run(tracked(Listener::new(loopback(), &upstream))).await;
    for is_closed_before in [true, false] {
        let mut client = proxy.connect().await;
        let mut node = listener.accept().await.unwrap().0;
        let before = proxy.metrics().bytes_to_clients;
        let writer = tokio::spawn(async move {
            // Until the reset.
            let chunk = vec![7; 1 << 20];
            while node.write_all(&chunk).await.is_ok() {}
        });
        let moved = || all(&proxy)[0].bytes_to_client;
        eventually("bytes", || moved() > 1 << 20).await;
        let every = SessionFilter::new();
        if is_closed_before {
            assert_eq!(proxy.handle.close_sessions(&every), 1);
            in_phase(&proxy, SessionPhase::Closing).await;
            assert_eq!(proxy.handle.close_sessions(&every), 0);
        }
        assert_eq!(proxy.handle.reset_sessions(&every), 1);
        eventually("the end", || all(&proxy).is_empty()).await;
        assert_eq!(proxy.handle.reset_sessions(&every), 0);
        writer.await.unwrap();
        let read = read_until_reset(&mut client).await;
        let moved = proxy.metrics().bytes_to_clients - before;
        assert!((read.len() as u64) < moved, "{} of {moved}", read.len());
    }
    assert_eq!(proxy.metrics().operator_closed, 2);
    proxy.end().await;
}
