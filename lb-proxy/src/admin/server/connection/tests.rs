use std::net::{Ipv4Addr, SocketAddr};

use lb_core::{Endpoint, Snapshot};
use test_support::log::Capture;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::admin::program::Program;
use crate::admin::routes::RouteContext;
use crate::{Proxy, Server, Upstream};

/// A connection of a client at an address that only a rule admits.
struct ConnectedClient {
    stream: DuplexStream,
    shared: Arc<ServerShared>,
    served: JoinHandle<()>,
    _server: Server,
}

fn rules(allow: &[&str]) -> AdmissionRules {
    AdmissionRules {
        allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
        ..AdmissionRules::default()
    }
}

impl ConnectedClient {
    async fn connect() -> Self {
        Self::connect_as(AdminPeer::Tcp(([10, 0, 0, 1], 7).into()), 64 * 1024).await
    }

    /// The user of the process, who may change state, over a unix socket.
    async fn connect_as_owner() -> Self {
        let peer = AdminPeer::Unix {
            uid: rustix::process::geteuid().as_raw(),
            pid: 1,
            group: None,
        };
        Self::connect_as(peer, 64 * 1024).await
    }

    /// A client of which the kernel keeps at most so many bytes in each direction.
    async fn connect_as(peer: AdminPeer, buffer: usize) -> Self {
        let upstream = Upstream::builder("u").fixed(&Snapshot::default()).unwrap();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let proxy = Proxy::builder().listen(listen, &upstream).build().unwrap();
        let server = proxy.bind().await.unwrap();
        let context = Arc::new(RouteContext::new(
            server.handle(),
            Program::new("test", "1"),
            #[cfg(feature = "metrics")]
            prometheus_client::registry::Registry::default(),
        ));
        let endpoint = Endpoint::Tcp(([0, 0, 0, 0], 9446).into());
        let shared = ServerShared::new(context, endpoint, &rules(&["10.0.0.0/8"]));
        let shared = Arc::new(shared);
        let (stream, other) = duplex(buffer);
        let serving = Arc::clone(&shared);
        let served = tokio::spawn(async move {
            let wait = HeaderWait::new(Arc::new(Notify::new()));
            serve(other, peer, serving, &wait, &Stop::default()).await;
        });
        Self {
            stream,
            shared,
            served,
            _server: server,
        }
    }

    /// The answer.
    async fn ask(&mut self, request: &str) -> String {
        let request = format!("{request} HTTP/1.1\r\nhost: 10.0.0.9\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.answer().await
    }

    async fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\n}") && !answer.ends_with(b"ok\n") && !answer.ends_with(b"\"}") {
            let read = self.stream.read_buf(&mut answer).await.unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        }
        String::from_utf8(answer).unwrap()
    }
}

#[tokio::test]
async fn an_open_connection_loses_the_network_that_a_reload_takes_away() {
    let mut client = ConnectedClient::connect().await;
    for _ in 0..2 {
        let answer = client.ask("GET /livez").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    client.shared.set_rules(&rules(&["11.0.0.0/8"]));
    let answer = client.ask("GET /livez").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(client.stream.read(&mut [0]).await.unwrap(), 0);
    client.served.await.unwrap();
}

#[tokio::test]
async fn refused_requests_are_logged_by_their_reason_and_then_counted() {
    let log = Capture::install();
    let mut client = ConnectedClient::connect().await;
    log.take();
    for _ in 0..50 {
        let answer = client.ask("POST /drain?backend=x").await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    let lines = log.take();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for part in [
        "WARN",
        "Admin requests refused",
        "listener=0.0.0.0:9446",
        "requests=1",
        "no token is set",
        "client.addr=10.0.0.1:7",
        "POST /drain",
    ] {
        assert!(lines[0].contains(part), "{part} is not in {lines:?}");
    }
    // Another reason is not hidden by the first one.
    client.shared.set_rules(&rules(&[]));
    client.ask("POST /drain?backend=x").await;
    let lines = log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("reason=\"address\""), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_late_too_long_or_no_form_is_refused_by_its_status() {
    let long = "x".repeat(MAX_BODY + 1);
    let chunked = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    let begin = Instant::now();
    for (headers, body, status, text) in [
        (
            "content-length: 10",
            "backend=",
            408,
            "did not arrive in time",
        ),
        (
            "content-length: 8193",
            &*long,
            413,
            "longer than 8192 bytes",
        ),
        (
            "transfer-encoding: chunked",
            &*chunked,
            413,
            "longer than 8192 bytes",
        ),
        (
            "content-type: application/json\r\ncontent-length: 2",
            "{}",
            415,
            "must be a form",
        ),
        // A form, of which the route refuses the content.
        (
            "content-type: application/x-www-form-urlencoded; charset=utf-8\r\ncontent-length: 9",
            "backend=x",
            404,
            "there is no backend",
        ),
    ] {
        let mut client = ConnectedClient::connect_as_owner().await;
        let request =
            format!("POST /drain HTTP/1.1\r\nhost: x\r\nx-lb-admin: 1\r\n{headers}\r\n\r\n{body}");
        client.stream.write_all(request.as_bytes()).await.unwrap();
        let answer = client.answer().await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{headers}: {answer}");
        assert!(answer.contains(text), "{headers}: {answer}");
    }
    // Only the late one was waited for.
    assert_eq!(begin.elapsed(), BODY_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_answer_is_disconnected() {
    let peer = AdminPeer::Tcp(([10, 0, 0, 1], 7).into());
    let request = b"GET /requests HTTP/1.1\r\nhost: 10.0.0.9\r\n\r\n";
    let mut idle = ConnectedClient::connect_as(peer, 128).await;
    let begin = Instant::now();
    idle.stream.write_all(request).await.unwrap();
    idle.served.await.unwrap();
    assert_eq!(begin.elapsed(), WRITE_TIMEOUT);

    // One that reads slowly gets all of it.
    let mut slow = ConnectedClient::connect_as(peer, 512).await;
    slow.stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"POST /weight?backend=&upstream=&weight=\n") {
        tokio::time::sleep(WRITE_TIMEOUT / 2).await;
        assert!(slow.stream.read_buf(&mut answer).await.unwrap() > 0);
    }
    assert!(begin.elapsed() > 2 * WRITE_TIMEOUT);
}
