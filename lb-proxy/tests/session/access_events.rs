//! Access events of real sessions: lines of JSON, `tracing` events, and several hooks at once.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use lb_core::Backend;
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::events::{
    Admission, AttemptOutcome, CloseReason, Connection, HookList, JsonEvents, Observation, Summary,
    TracingEvents,
};
use lb_proxy::proxy_protocol::{ProxyProtocol, SendProxy, TrustedNetworks};
use lb_proxy::{Hooks, Listener, Upstream};
use serde_json::Value;
use test_support::deadline::eventually;
use test_support::fuse::Fuse;
use test_support::log::Capture;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::{loopback, refusing};
use test_support::streams::{ask, assert_refused, reset};
use test_support::tls::client_hello;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Hooks that keep the parsed lines.
fn recorder() -> (Arc<JsonEvents>, Arc<Mutex<Vec<Value>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let events = JsonEvents::to_function(move |line| {
        kept.lock()
            .unwrap()
            .push(serde_json::from_slice(line).unwrap());
    });
    (Arc::new(events), lines)
}

#[tokio::test]
async fn a_function_for_lines_that_panics_loses_one_line() {
    let log = Capture::install();
    let upstream = upstream([Backend::new(named("a").await)]);
    for call in [1, 2, 100] {
        let fuse = Fuse::armed("JsonEvents::to_function", call);
        let lines = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lines);
        let events = JsonEvents::to_function(move |_| {
            fuse.burn("JsonEvents::to_function");
            counted.fetch_add(1, Relaxed);
        });
        let listener = Listener::new(loopback(), &upstream).hooks(events);
        let proxy = RunningProxy::start(listener, None).await;
        for _ in 0..call + 2 {
            assert_eq!(ask(proxy.addr).await.unwrap(), "a");
        }
        let ends = call as u64 + 2;
        eventually("the ends", || proxy.metrics().ended() == ends).await;
        let metrics = proxy.metrics();
        assert_eq!((metrics.panics, metrics.panicked), (1, 0));
        assert_eq!(lines.load(Relaxed), call + 1);
        proxy.end().await;
    }
    let lines = log.take();
    let named = lines
        .iter()
        .filter(|line| line.contains("JsonEvents::to_function panicked: "));
    assert_eq!(named.count(), 3, "{lines:?}");
}

#[tokio::test]
async fn a_session_is_one_line_with_all_its_attempts() {
    let log = Capture::install();
    let (_held, dead) = refusing();
    let alive = named("b").await;
    let backends = [dead, alive].map(|addr| Backend::new(addr).source("manual test"));
    let upstream = upstream(backends);
    let (json, lines) = recorder();
    let hooks = HookList::new([json as Arc<dyn Hooks>, Arc::new(TracingEvents::new())]);
    let listener = Listener::new(loopback(), &upstream)
        .preread(Arc::new(ClientHelloReader::new()))
        .hooks(Arc::new(hooks));
    let proxy = RunningProxy::start(listener, None).await;
    let mut client = proxy.connect().await;
    let local = client.local_addr().unwrap();
    let hello = client_hello("www.example.com");
    client.write_all(&hello).await.unwrap();
    client.shutdown().await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    eventually("the line", || !lines.lock().unwrap().is_empty()).await;
    let event = lines.lock().unwrap().remove(0);
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    assert_eq!(text("/event"), Some("close"));
    assert_eq!(text("/reason"), Some("finished"));
    assert_eq!(text("/termination"), Some("--"));
    assert_eq!(text("/client"), Some(&*local.to_string()));
    assert_eq!(text("/listener"), Some(&*proxy.addr.to_string()));
    assert_eq!(text("/server_name"), Some("www.example.com"));
    assert_eq!(text("/upstream"), Some("test"));
    assert_eq!(text("/backend"), Some(&*alive.to_string()));
    assert_eq!(text("/backend_source"), Some("manual test"));
    assert_eq!(text("/attempts/0/outcome"), Some("failed"));
    assert!(text("/attempts/0/error").unwrap().contains("refused"));
    assert_eq!(text("/attempts/1/outcome"), Some("connected"));
    // In whole microseconds: sums of seconds are rounded.
    let micros = |pointer: &str| {
        let seconds = event.pointer(pointer).and_then(Value::as_f64).unwrap();
        (seconds * 1e6).round()
    };
    let [first, second] = [0, 1].map(|i| micros(&format!("/attempts/{i}/began_after")));
    let failed = first + micros("/attempts/0/elapsed");
    assert!(first > 0.0 && failed <= second, "{event}");
    assert!(second <= micros("/connected_after"), "{event}");
    assert_eq!(event["attempts"][1]["bytes_sent"], hello.len());
    assert_eq!(event["bytes_from_client"], hello.len());
    assert_eq!(event["bytes_to_client"], 1);
    proxy.end().await;
    let logged = log.take();
    let mut logged = logged.iter().filter(|line| line.contains("Session ended"));
    let line = logged.next().unwrap();
    for part in [
        "INFO",
        "lb_proxy::access",
        "server_name=www.example.com",
        "reason=\"finished\"",
        "termination=--",
        "attempts=2",
        &format!("each_attempt={dead} failed @"),
        &format!(", {alive} connected @"),
    ] {
        assert!(line.contains(part), "{line} lacks {part}");
    }
    assert_eq!(logged.next(), None);
}

/// The source in a trusted PROXY header is a field of its own beside the client.
#[tokio::test]
async fn a_proxy_header_is_in_the_event() {
    let log = Capture::install();
    let upstream = upstream([Backend::new(named("b").await)]);
    let trusted = TrustedNetworks::try_new(["127.0.0.0/8"]).unwrap();
    let listener = Listener::new(loopback(), &upstream)
        .preread(Arc::new(ProxyProtocol::required(trusted)))
        .hooks(Arc::new(TracingEvents::new()));
    let proxy = RunningProxy::start(listener, None).await;
    let mut client = proxy.connect().await;
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\nhello";
    client.write_all(header).await.unwrap();
    client.shutdown().await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    proxy.end().await;
    let logged = log.take();
    let mut closed = logged.iter().filter(|line| line.contains("Session ended"));
    let line = closed.next().unwrap_or_else(|| panic!("{logged:?}"));
    for part in ["proxy_source=192.0.2.7:5000", "attempts=1"] {
        assert!(line.contains(part), "{line} lacks {part}");
    }
}

/// Counts its calls.
#[derive(Debug, Default)]
struct Counting {
    refuses: bool,
    observation: Observation,
    accepted: Mutex<usize>,
    closed: Mutex<Vec<CloseReason>>,
}

impl Hooks for Counting {
    fn observes(&self) -> Observation {
        self.observation
    }

    fn accept(&self, _: &Connection) -> Admission {
        *self.accepted.lock().unwrap() += 1;
        match self.refuses {
            true => Admission::Refuse,
            false => Admission::Admit,
        }
    }

    fn close(&self, _: &Connection, summary: &Summary<'_>) {
        self.closed.lock().unwrap().push(summary.reason);
    }
}

/// What two hooks of one list observed of a session: the first with the settings given, the second of all sessions.
async fn observed(first: Counting) -> [Arc<Counting>; 2] {
    let hooks = [first, Counting::default()].map(Arc::new);
    let list = hooks.clone().map(|hooks| hooks as Arc<dyn Hooks>);
    let upstream = upstream([Backend::new(named("b").await)]);
    let listener = Listener::new(loopback(), &upstream).hooks(Arc::new(HookList::new(list)));
    let proxy = RunningProxy::start(listener, None).await;
    if hooks[0].refuses {
        assert_refused(proxy.addr).await;
    } else {
        let mut client = proxy.connect().await;
        client.read_u8().await.unwrap();
        reset(client);
    }
    proxy.end().await;
    hooks
}

#[tokio::test]
async fn each_of_several_hooks_observes_what_it_would_alone() {
    let [first, second] = observed(Counting {
        refuses: true,
        ..Counting::default()
    })
    .await;
    for hooks in [&first, &second] {
        assert_eq!(*hooks.accepted.lock().unwrap(), 1);
        assert_eq!(*hooks.closed.lock().unwrap(), [CloseReason::Refused]);
    }
    for (observation, closed) in [
        (Observation::Failures, [].as_slice()),
        (Observation::Ends, &[CloseReason::ClientReset]),
    ] {
        let [first, second] = observed(Counting {
            observation,
            ..Counting::default()
        })
        .await;
        assert_eq!(*first.accepted.lock().unwrap(), 0);
        assert_eq!(*first.closed.lock().unwrap(), closed);
        assert_eq!(*second.closed.lock().unwrap(), [CloseReason::ClientReset]);
    }
}

/// Bytes from the client, to the backend and to the client, and the outcome and the bytes sent and received of each attempt.
type SummaryBytes = (u64, u64, u64, Vec<(AttemptOutcome, u64, u64)>);

/// Keeps what summaries say of bytes, and whether they have times, and counts the other calls.
#[derive(Debug, Default)]
struct SummaryRecorder {
    observation: Observation,
    others: Mutex<usize>,
    bytes: Mutex<Vec<SummaryBytes>>,
    timed: Mutex<Vec<bool>>,
}

impl Hooks for SummaryRecorder {
    fn observes(&self) -> Observation {
        self.observation
    }

    fn accept(&self, _: &Connection) -> Admission {
        *self.others.lock().unwrap() += 1;
        Admission::Admit
    }

    fn connected(&self, _: &Connection, _: &Upstream, _: &Backend) {
        *self.others.lock().unwrap() += 1;
    }

    fn close(&self, _: &Connection, summary: &Summary<'_>) {
        assert_eq!(
            summary.upstream.map(|upstream| upstream.name()),
            Some("test")
        );
        let attempts = summary.attempts.iter();
        let attempts = attempts.map(|one| (one.outcome, one.bytes_sent, one.bytes_received));
        self.bytes.lock().unwrap().push((
            summary.bytes_from_client,
            summary.bytes_to_backend,
            summary.bytes_to_client,
            attempts.collect(),
        ));
        self.timed
            .lock()
            .unwrap()
            .push(summary.connected_after.is_some());
    }
}

#[tokio::test]
async fn hooks_that_observe_ends_get_the_attempts_and_bytes_of_all_sessions_without_times() {
    let (_held, dead) = refusing();
    let alive = named("b").await;
    for observation in [Observation::Ends, Observation::Everything] {
        let recorder = Arc::new(SummaryRecorder {
            observation,
            ..SummaryRecorder::default()
        });
        let upstream = upstream([dead, alive].map(Backend::new));
        let listener = Listener::new(loopback(), &upstream)
            .send_proxy(SendProxy::v2())
            .hooks(Arc::clone(&recorder) as Arc<dyn Hooks>);
        let proxy = RunningProxy::start(listener, None).await;
        let mut client = proxy.connect().await;
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
        proxy.end().await;
        let is_whole = observation == Observation::Everything;
        assert_eq!(*recorder.timed.lock().unwrap(), [is_whole]);
        assert_eq!(
            *recorder.others.lock().unwrap(),
            if is_whole { 2 } else { 0 }
        );
        // The header of a connection over IPv4 has 28 bytes.
        let attempts = vec![
            (AttemptOutcome::Failed, 0, 0),
            (AttemptOutcome::Connected, 28 + 5, 1),
        ];
        assert_eq!(*recorder.bytes.lock().unwrap(), [(5, 5, 1, attempts)]);
    }
}
