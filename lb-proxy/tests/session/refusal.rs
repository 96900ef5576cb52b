//! Clients that get no service: how they are closed, and what the summary reports.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::access::{Access, ClientZone};
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::events::{CloseReason, Connection, PrereadFailure, RefusalDetail, Summary};
use lb_proxy::proxy_protocol::{ProxyProtocol, TrustedNetworks};
use lb_proxy::settings::OnRefusal;
use lb_proxy::{Hooks, Listener, Retry};
use test_support::deadline::eventually;
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::{loopback, refusing};
use test_support::streams::{assert_reset, read_all, reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The reason of each end, and its detail in short.
#[derive(Debug, Default)]
struct RefusalRecorder(Mutex<Vec<(CloseReason, String)>>);

impl Hooks for RefusalRecorder {
    fn close(&self, _: &Connection, summary: &Summary<'_>) {
        let detail = match summary.refusal {
            Some(RefusalDetail::ClientLimit { limit }) => format!("limit {limit}"),
            Some(RefusalDetail::NoBackend(cause)) => format!("{cause:?}"),
            Some(RefusalDetail::Preread(preread)) => {
                let bytes = String::from_utf8_lossy(&preread.bytes);
                format!("{} {:?} {bytes:?}", preread.reader, preread.failure)
            }
            _ => String::new(),
        };
        self.0.lock().unwrap().push((summary.reason, detail));
    }
}

impl RefusalRecorder {
    async fn ended(&self) -> (CloseReason, String) {
        eventually("the end", || !self.0.lock().unwrap().is_empty()).await;
        self.0.lock().unwrap().remove(0)
    }
}

async fn start(
    settings: impl FnOnce(Listener) -> Listener,
) -> (RunningProxy, Arc<RefusalRecorder>) {
    let (held, dead) = refusing();
    let recorder = Arc::new(RefusalRecorder::default());
    let upstream = upstream([Backend::new(dead)]);
    let listener = Listener::new(loopback(), &upstream).hooks(recorder.clone());
    let proxy = RunningProxy::start(settings(listener), None).await;
    // The port stays reserved for as long as the test runs.
    std::mem::forget(held);
    (proxy, recorder)
}

/// Whether the client sees a reset, after it has sent `bytes`.
async fn is_reset(proxy: &RunningProxy, bytes: &[u8]) -> bool {
    let mut client = proxy.connect().await;
    // The proxy may have closed already.
    let _ = client.write_all(bytes).await;
    let mut buffer = [0; 8];
    client.read(&mut buffer).await.is_err()
}

#[tokio::test]
async fn a_refused_client_is_reset_unless_the_listener_closes() {
    let deny = |listener: Listener| listener.access(Access::new().deny(loopback().ip()));
    let (proxy, recorder) = start(deny).await;
    assert_reset(&mut proxy.connect().await).await;
    assert_eq!(recorder.ended().await.0, CloseReason::AccessDenied);
    proxy.end().await;
    let (proxy, _) = start(|listener| deny(listener).on_refusal(OnRefusal::Close)).await;
    assert!(read_all(&mut proxy.connect().await).await.is_empty());
    proxy.end().await;
}

#[tokio::test]
async fn a_client_that_has_sent_bytes_sees_a_reset_from_a_close() {
    // The bytes are read by a preread, which cannot pass them on.
    let reader = Arc::new(ClientHelloReader::new());
    let close = |listener: Listener| listener.preread(reader).on_refusal(OnRefusal::Close);
    let (proxy, recorder) = start(close).await;
    assert!(is_reset(&proxy, b"no TLS").await);
    let no_backend = (CloseReason::NoBackend, "Tried".to_owned());
    assert_eq!(recorder.ended().await, no_backend);
    proxy.end().await;
    // They lie in the socket, or have not come yet: then the client sees an end.
    let (proxy, _) = start(|listener| listener.on_refusal(OnRefusal::Close)).await;
    assert!(!is_reset(&proxy, b"").await);
    proxy.end().await;
}

#[tokio::test]
async fn the_summary_names_the_limit_and_the_cause() {
    let [wide, narrow] = [(); 2].map(|()| ClientZone::builder().build());
    let limits = |listener: Listener| {
        let listener = listener.preread(Arc::new(ClientHelloReader::new()));
        listener.limit_clients(&wide, 2).limit_clients(&narrow, 1)
    };
    let (proxy, recorder) = start(limits).await;
    // The limits are checked before the first bytes, for which the first client makes the session wait.
    let first = proxy.connect().await;
    eventually("the first", || proxy.metrics().active == 1).await;
    assert_reset(&mut proxy.connect().await).await;
    let limited = (CloseReason::ClientSessions, "limit 1".to_owned());
    assert_eq!(recorder.ended().await, limited);
    drop(first);
    recorder.ended().await;
    proxy.end().await;

    let tries = Retry::default().tries(1);
    let (proxy, recorder) = start(|listener| listener.retry(tries)).await;
    assert_reset(&mut proxy.connect().await).await;
    let tried = (CloseReason::NoBackend, "Tries".to_owned());
    assert_eq!(recorder.ended().await, tried);
    proxy.end().await;
}

/// What a client sends, what it does then, and how its session ends.
type RefusedCase = (
    &'static [u8],
    fn(TcpStream) -> Option<TcpStream>,
    CloseReason,
    String,
);

#[tokio::test]
async fn the_summary_has_the_first_bytes_and_what_was_wrong() {
    let trusted = TrustedNetworks::try_new(["127.0.0.0/8"]).unwrap();
    let header = ProxyProtocol::required(trusted).timeout(Duration::from_secs(1));
    let names = ClientHelloReader::new().limit(16);
    let (proxy, recorder) = start(|listener| {
        let listener = listener.preread(Arc::new(header));
        listener.preread(Arc::new(names))
    })
    .await;
    let hello = b"PROXY UNKNOWN\r\n\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh";
    let cases: [RefusedCase; 5] = [
        (
            b"GET /",
            Some,
            CloseReason::Preread,
            failed(0, PrereadFailure::Invalid, "GET /"),
        ),
        (
            b"PRO",
            |client| {
                drop(client);
                None
            },
            CloseReason::Preread,
            failed(0, PrereadFailure::Ended, "PRO"),
        ),
        (
            b"",
            |client| {
                reset(client);
                None
            },
            CloseReason::Preread,
            failed(0, PrereadFailure::Socket(Some(104)), ""),
        ),
        (
            b"PROXY ",
            Some,
            CloseReason::PrereadTimeout,
            failed(0, PrereadFailure::Timeout, "PROXY "),
        ),
        (
            hello,
            Some,
            CloseReason::Preread,
            failed(1, PrereadFailure::Invalid, "\u{16}\u{3}\u{1}"),
        ),
    ];
    for (bytes, then, reason, detail) in cases {
        let mut client = proxy.connect().await;
        client.write_all(bytes).await.unwrap();
        let _open = then(client);
        let (ended, found) = recorder.ended().await;
        assert_eq!(ended, reason, "{found}");
        assert!(found.starts_with(&detail), "{found} is not {detail}");
    }
    proxy.end().await;
}

/// The start of what [`RefusalRecorder`] records.
fn failed(reader: usize, failure: PrereadFailure, bytes: &str) -> String {
    format!("{reader} {failure:?} {bytes:?}")
        .trim_end_matches('"')
        .to_owned()
}
