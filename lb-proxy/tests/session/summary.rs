//! The summary of a session: attempts, bytes, times, ends.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::events::{
    Attempt, AttemptOutcome, AttemptReport, AttemptStep, CloseReason, Connection, Side, Summary,
};
use lb_proxy::proxy_protocol::SendProxy;
use lb_proxy::{Hooks, Listener};
use test_support::deadline::eventually;
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::{loopback, refusing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// An owned copy of a summary.
#[derive(Debug)]
struct Ended {
    reason: CloseReason,
    upstream: Option<String>,
    attempts: Vec<AttemptReport>,
    elapsed: Duration,
    from_client: u64,
    to_backend: u64,
    to_client: u64,
    first_end: Option<Side>,
    has_both_ends: bool,
}

#[derive(Debug, Default)]
struct Recorder {
    ended: Mutex<Vec<Ended>>,
    local: Mutex<Vec<Option<SocketAddr>>>,
    ejections: Mutex<Vec<bool>>,
}

impl Hooks for Recorder {
    fn attempt(&self, _: &Connection, attempt: &Attempt<'_>) {
        assert_eq!(attempt.upstream.name(), "test");
        self.local.lock().unwrap().push(attempt.local_addr());
        self.ejections.lock().unwrap().push(attempt.ejects);
    }

    fn close(&self, _: &Connection, summary: &Summary<'_>) {
        self.ended.lock().unwrap().push(Ended {
            reason: summary.reason,
            upstream: summary.upstream.map(|upstream| upstream.name().to_owned()),
            attempts: summary.attempts.to_vec(),
            elapsed: summary.elapsed,
            from_client: summary.bytes_from_client,
            to_backend: summary.bytes_to_backend,
            to_client: summary.bytes_to_client,
            first_end: summary.first_end(),
            has_both_ends: summary.client_ended_after.is_some()
                && summary.backend_ended_after.is_some(),
        });
    }
}

impl Recorder {
    async fn ended(&self) -> Ended {
        eventually("the end", || !self.ended.lock().unwrap().is_empty()).await;
        self.ended.lock().unwrap().remove(0)
    }
}

async fn start(
    recorder: &Arc<Recorder>,
    backends: impl IntoIterator<Item = SocketAddr>,
    settings: impl FnOnce(Listener) -> Listener,
) -> RunningProxy {
    let upstream = upstream(backends.into_iter().map(Backend::new));
    let listener = Listener::new(loopback(), &upstream).hooks(recorder.clone());
    RunningProxy::start(settings(listener), None).await
}

async fn backend() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// A client and the backend's end of its session, after an attempt with a backend that refuses.
async fn session(settings: impl FnOnce(Listener) -> Listener) -> Session {
    let (held, dead) = refusing();
    let (nodes, alive) = backend().await;
    let recorder = Arc::new(Recorder::default());
    let proxy = start(&recorder, [dead, alive], settings).await;
    let client = proxy.connect().await;
    let node = nodes.accept().await.unwrap().0;
    drop(held);
    Session {
        recorder,
        proxy,
        client,
        node,
        dead,
        alive,
    }
}

struct Session {
    recorder: Arc<Recorder>,
    proxy: RunningProxy,
    client: TcpStream,
    node: TcpStream,
    dead: SocketAddr,
    alive: SocketAddr,
}

#[tokio::test]
async fn attempts_have_their_backends_errors_times_and_bytes() {
    let mut session = session(|listener| listener.send_proxy(SendProxy::v1())).await;
    session.client.write_all(b"hello").await.unwrap();
    let header = {
        let (client, local) = (session.client.local_addr().unwrap(), session.proxy.addr);
        let (from, to) = (client.port(), local.port());
        format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\n")
    };
    let mut received = vec![0; header.len() + 5];
    session.node.read_exact(&mut received).await.unwrap();
    assert_eq!(received, format!("{header}hello").as_bytes());
    session.node.write_all(b"answer").await.unwrap();
    drop(session.node);
    let mut answer = Vec::new();
    session.client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    drop(session.client);
    let ended = session.recorder.ended().await;
    assert_eq!(ended.reason, CloseReason::Finished);
    assert_eq!(ended.upstream.as_deref(), Some("test"));
    assert_eq!(
        (ended.from_client, ended.to_backend, ended.to_client),
        (5, 5, 6)
    );
    assert_eq!(ended.first_end, Some(Side::Backend));
    assert!(ended.has_both_ends);
    let [failed, connected] = &*ended.attempts else {
        panic!("{ended:?}");
    };
    assert_eq!(failed.backend.addr, session.dead);
    assert_eq!(failed.outcome, AttemptOutcome::Failed);
    let error = failed.error.unwrap();
    assert_eq!(error.step, AttemptStep::Answer);
    assert_eq!(error.kind, ErrorKind::ConnectionRefused);
    assert_eq!(error.errno, Some(111));
    assert_eq!(
        (failed.connected_after, failed.first_byte_after),
        (None, None)
    );
    assert_eq!((failed.bytes_sent, failed.bytes_received), (0, 0));
    assert_eq!(connected.backend.addr, session.alive);
    assert_eq!(
        (connected.outcome, connected.error),
        (AttemptOutcome::Connected, None)
    );
    assert_eq!(connected.bytes_sent, header.len() as u64 + 5);
    assert_eq!(connected.bytes_received, 6);
    assert!(connected.connected_after <= connected.first_byte_after);
    assert!(connected.first_byte_after.unwrap() <= connected.elapsed);
    assert!(connected.elapsed <= ended.elapsed);
    // Without its own end an attempt has no address, and the first refusal ejects a backend.
    let local = session.recorder.local.lock().unwrap().clone();
    assert!(local[0].is_none() && local[1].is_some_and(|addr| addr.ip() == loopback().ip()));
    assert_eq!(*session.recorder.ejections.lock().unwrap(), [true, false]);
    session.proxy.end().await;
}

#[tokio::test]
async fn the_end_of_a_stream_without_bytes_counts_as_its_first_byte() {
    let session = session(|listener| listener).await;
    drop(session.node);
    drop(session.client);
    let ended = session.recorder.ended().await;
    let connected = &ended.attempts[1];
    assert_eq!((connected.bytes_received, ended.to_client), (0, 0));
    assert!(connected.first_byte_after.is_some());
    session.proxy.end().await;
}

#[tokio::test]
async fn a_silent_backend_has_no_first_byte() {
    let session = session(|listener| listener).await;
    // The backend's kernel accepts before the session notices.
    let attempts = || session.recorder.local.lock().unwrap().len();
    eventually("the connection", || attempts() == 2).await;
    session.proxy.handle.abort();
    let ended = session.recorder.ended().await;
    assert_eq!(ended.reason, CloseReason::Aborted);
    assert_eq!(ended.attempts[1].first_byte_after, None);
    assert_eq!((ended.first_end, ended.has_both_ends), (None, false));
    session.proxy.end().await;
}

#[tokio::test]
async fn a_client_that_ends_first_is_the_first_end() {
    let mut session = session(|listener| listener).await;
    session.client.shutdown().await.unwrap();
    assert_eq!(session.node.read(&mut [0; 8]).await.unwrap(), 0);
    drop(session.node);
    let ended = session.recorder.ended().await;
    assert_eq!(ended.first_end, Some(Side::Client));
    session.proxy.end().await;
}

#[tokio::test]
async fn bytes_of_a_long_transfer_are_counted_through_pipes_too() {
    const LENGTH: usize = 3_000_000;
    let mut session = session(|listener| listener).await;
    let (go, gone) = oneshot::channel();
    let mut node = session.node;
    let sending = tokio::spawn(async move {
        node.write_all(&vec![b'x'; LENGTH]).await.unwrap();
        node.shutdown().await.unwrap();
        gone.await.unwrap();
    });
    let mut received = Vec::new();
    session.client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), LENGTH);
    drop(session.client);
    go.send(()).unwrap();
    sending.await.unwrap();
    let ended = session.recorder.ended().await;
    assert_eq!(ended.to_client, LENGTH as u64);
    assert_eq!(ended.attempts[1].bytes_received, LENGTH as u64);
    session.proxy.end().await;
}
