//! Hooks: observations and refusals.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::events::{Admission, Attempt, AttemptOutcome, CloseReason, Connection, Summary};
use lb_proxy::{Hooks, Listener, Timeouts, Upstream};
use test_support::deadline::eventually;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::{BlackHole, loopback, refusing};
use test_support::streams::assert_refused;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

/// Records the calls.
#[derive(Debug, Default)]
struct Diary {
    refuse: bool,
    accepted: Mutex<Vec<Connection>>,
    attempts: Mutex<Vec<(SocketAddr, AttemptOutcome, Duration)>>,
    connected: Mutex<Vec<SocketAddr>>,
    closed: Mutex<Vec<Closed>>,
}

/// An owned copy of a summary.
#[derive(Clone, Copy, Debug)]
struct Closed {
    reason: CloseReason,
    backend: Option<SocketAddr>,
    attempts: usize,
    bytes: (u64, u64),
    connected_after: Option<Duration>,
    elapsed: Duration,
}

impl Hooks for Diary {
    fn accept(&self, connection: &Connection) -> Admission {
        self.accepted.lock().unwrap().push(connection.clone());
        if self.refuse {
            Admission::Refuse
        } else {
            Admission::Admit
        }
    }

    fn attempt(&self, _: &Connection, attempt: &Attempt<'_>) {
        let attempt = (attempt.backend.addr, attempt.outcome, attempt.elapsed);
        self.attempts.lock().unwrap().push(attempt);
    }

    fn connected(&self, _: &Connection, _: &Upstream, backend: &Backend) {
        self.connected.lock().unwrap().push(backend.addr);
    }

    fn close(&self, _: &Connection, summary: &Summary<'_>) {
        self.closed.lock().unwrap().push(Closed {
            reason: summary.reason,
            backend: summary.backend.map(|backend| backend.addr),
            attempts: summary.attempts.len(),
            bytes: (summary.bytes_to_backend, summary.bytes_to_client),
            connected_after: summary.connected_after,
            elapsed: summary.elapsed,
        });
    }
}

impl Diary {
    /// The summary of the only connection.
    async fn closed(&self) -> Closed {
        eventually("the end", || self.closed.lock().unwrap().len() == 1).await;
        self.closed.lock().unwrap()[0]
    }
}

async fn observed(
    backends: impl IntoIterator<Item = SocketAddr>,
    diary: &Arc<Diary>,
    settings: impl FnOnce(Listener) -> Listener,
) -> RunningProxy {
    let upstream = upstream(backends.into_iter().map(Backend::new));
    let listener = Listener::new(loopback(), &upstream).hooks(diary.clone());
    RunningProxy::start(settings(listener), None).await
}

#[tokio::test]
async fn hooks_observe_a_connection_from_accept_to_close() {
    let (_held, dead) = refusing();
    let alive = named("a").await;
    let diary = Arc::new(Diary::default());
    let proxy = observed([dead, alive], &diary, |listener| listener).await;
    let mut client = proxy.connect().await;
    let peer = client.local_addr().unwrap();
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(test_support::streams::read_all(&mut client).await, b"a");
    let closed = diary.closed().await;
    let connection = diary.accepted.lock().unwrap()[0].clone();
    assert_eq!(
        (connection.listener, connection.peer, connection.client),
        (proxy.addr, peer, peer)
    );
    let attempts = diary.attempts.lock().unwrap().clone();
    let outcomes: Vec<_> = attempts.iter().map(|&(addr, o, _)| (addr, o)).collect();
    assert_eq!(
        outcomes,
        [
            (dead, AttemptOutcome::Failed),
            (alive, AttemptOutcome::Connected)
        ]
    );
    assert_eq!(*diary.connected.lock().unwrap(), [alive]);
    assert_eq!(closed.reason, CloseReason::Finished);
    assert_eq!(closed.backend, Some(alive));
    assert_eq!((closed.attempts, closed.bytes), (2, (5, 1)));
    assert!(closed.connected_after.unwrap() <= closed.elapsed);
    // The counts of one connection are part of the counts of all.
    let metrics = proxy.metrics();
    assert_eq!(
        (metrics.bytes_to_backends, metrics.bytes_to_clients),
        (5, 1)
    );
    proxy.end().await;
}

#[tokio::test]
async fn a_hook_can_refuse() {
    let diary = Arc::new(Diary {
        refuse: true,
        ..Diary::default()
    });
    let proxy = observed([named("a").await], &diary, |listener| listener).await;
    assert_refused(proxy.addr).await;
    let closed = diary.closed().await;
    assert_eq!(
        (closed.reason, closed.backend),
        (CloseReason::Refused, None)
    );
    assert_eq!(proxy.metrics().hook_refused, 1);
    proxy.end().await;
}

/// Decides when it is allowed to, and knows its session by data.
#[derive(Debug)]
struct Later {
    decision: watch::Receiver<Option<bool>>,
    waiting: Arc<AtomicUsize>,
    ends: Mutex<Vec<(CloseReason, Option<u32>)>>,
}

impl Later {
    fn new() -> (watch::Sender<Option<bool>>, Arc<Self>) {
        let (sender, decision) = watch::channel(None);
        let hooks = Self {
            decision,
            waiting: Arc::default(),
            ends: Mutex::default(),
        };
        (sender, Arc::new(hooks))
    }
}

/// Counts while it lives.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Hooks for Later {
    fn accept(&self, connection: &Connection) -> Admission {
        assert_eq!(connection.data(), Some(&7_u32));
        assert_eq!(connection.label(), Some("front"));
        let waiting = Waiting::new(&self.waiting);
        let mut decision = self.decision.clone();
        Admission::later(async move {
            let _waiting = waiting;
            match *decision.wait_for(Option::is_some).await.unwrap() {
                Some(true) => Admission::Admit,
                _ => Admission::Refuse,
            }
        })
    }

    fn connected(&self, connection: &Connection, upstream: &Upstream, backend: &Backend) {
        assert_eq!(connection.data(), Some(&7_u32));
        assert_eq!(upstream.name(), "test");
        assert!(upstream.backends().contains(backend.addr));
    }

    fn close(&self, connection: &Connection, summary: &Summary<'_>) {
        let data = connection.data().copied();
        self.ends.lock().unwrap().push((summary.reason, data));
    }
}

async fn deciding(hooks: &Arc<Later>) -> RunningProxy {
    let upstream = upstream([Backend::new(named("a").await)]);
    let listener = Listener::new(loopback(), &upstream)
        .label("front")
        .session_data(|_| 7_u32)
        .hooks(hooks.clone());
    RunningProxy::start(listener, Some(Duration::ZERO)).await
}

#[tokio::test]
async fn a_hook_may_decide_later_while_other_sessions_go_on() {
    let (decide, hooks) = Later::new();
    let proxy = deciding(&hooks).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(proxy.connect().await);
    }
    eventually("all wait", || hooks.waiting.load(Relaxed) == 3).await;
    decide.send_replace(Some(true));
    for client in &mut clients {
        assert_eq!(test_support::streams::read_all(client).await, b"a");
    }
    drop(clients);
    decide.send_replace(Some(false));
    assert_refused(proxy.addr).await;
    eventually("all ends", || hooks.ends.lock().unwrap().len() == 4).await;
    let refused = (CloseReason::Refused, Some(7));
    assert!(hooks.ends.lock().unwrap().contains(&refused));
    assert_eq!(proxy.metrics().hook_refused, 1);
    assert_eq!(hooks.waiting.load(Relaxed), 0);
    proxy.end().await;
}

#[tokio::test]
async fn a_decision_is_dropped_with_its_client_and_with_the_server() {
    let (_decide, hooks) = Later::new();
    let proxy = deciding(&hooks).await;
    let client = proxy.connect().await;
    eventually("it waits", || hooks.waiting.load(Relaxed) == 1).await;
    drop(client);
    eventually("it is dropped", || hooks.waiting.load(Relaxed) == 0).await;
    eventually("the end", || hooks.ends.lock().unwrap().len() == 1).await;
    let _client = proxy.connect().await;
    eventually("the next one waits", || hooks.waiting.load(Relaxed) == 1).await;
    proxy.end().await;
    assert_eq!(hooks.waiting.load(Relaxed), 0);
    let ends = hooks.ends.lock().unwrap();
    let reasons: Vec<_> = ends.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, [CloseReason::ClientGone, CloseReason::Aborted]);
}

#[tokio::test]
async fn attempts_that_time_out_and_attempts_that_are_abandoned_have_different_outcomes() {
    let hole = BlackHole::open();
    let diary = Arc::new(Diary::default());
    let limit = Duration::from_millis(200);
    let quick = |listener: Listener| listener.timeouts(Timeouts::default().connect(limit));
    let proxy = observed([hole.addr], &diary, quick).await;
    assert_refused(proxy.addr).await;
    let (_, outcome, elapsed) = diary.attempts.lock().unwrap()[0];
    assert_eq!(outcome, AttemptOutcome::Timeout);
    assert!(elapsed >= limit);
    assert_eq!(diary.closed().await.reason, CloseReason::NoBackend);
    proxy.end().await;

    let diary = Arc::new(Diary::default());
    let proxy = observed([hole.addr], &diary, |listener| listener).await;
    let client = proxy.connect().await;
    eventually("the attempt", || proxy.metrics().connect_attempts == 1).await;
    test_support::streams::reset(client);
    assert_eq!(diary.closed().await.reason, CloseReason::ClientGone);
    let (_, outcome, _) = diary.attempts.lock().unwrap()[0];
    assert_eq!(outcome, AttemptOutcome::Abandoned);
    proxy.end().await;
}

#[tokio::test]
async fn the_summary_of_a_cut_connection_has_its_bytes() {
    let diary = Arc::new(Diary::default());
    let proxy = observed(
        [test_support::nodes::listening("a").await],
        &diary,
        |listener| listener,
    )
    .await;
    let mut client = proxy.connect().await;
    assert_eq!(client.read_u8().await.unwrap(), b'a');
    proxy.handle.abort();
    let closed = diary.closed().await;
    assert_eq!(
        (closed.reason, closed.bytes),
        (CloseReason::Aborted, (0, 1))
    );
    proxy.end().await;
}
