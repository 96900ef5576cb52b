//! `health_check` of each type, against small servers of the test.

use std::path::PathBuf;

use serde_json::Value;
use test_support::deadline::eventually;
use test_support::nodes::Answering;
#[cfg(feature = "health-tls")]
use test_support::tls::TlsServer;
use tokio::io::AsyncWriteExt;

use crate::admin::json;
use crate::proxy::NginxLike;
use crate::sockets::{Reserved, ask, listen, within};

/// nginx_like in front of one backend, with a health check and an admin server.
struct CheckedScene {
    proxy: NginxLike,
    socket: PathBuf,
    _dir: tempfile::TempDir,
}

impl CheckedScene {
    /// `server` is what the upstream has behind `server`, `settings` what the server block has.
    async fn start(server: &str, settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("lb.sock");
        let stream = format!(
            "lb_admin unix:{};\n upstream u {{ server {server}; }}\n server {{ listen LISTEN; proxy_pass u; {settings} }}",
            socket.display()
        );
        Self {
            proxy: NginxLike::start("", &stream).await,
            socket,
            _dir: dir,
        }
    }

    /// The backend as the status has it.
    async fn backend(&self) -> Value {
        let status = json(&self.socket, "GET", "/status.json").await;
        status["upstreams"][0]["backends"][0].clone()
    }

    /// Waits until a field of the backend has a value.
    async fn becomes(&self, field: &str, value: impl Into<Value>) {
        let value = value.into();
        let reached = async { while self.backend().await[field] != value {} };
        within(&format!("{field} {value}"), reached).await;
    }
}

#[tokio::test]
async fn an_agent_sets_weight_limit_and_state() {
    let backend = Reserved::any();
    let _serving = backend.serve("node").await;
    let agent = Answering::start(b"up 50% maxconn:30\n").await;
    let scene = CheckedScene::start(
        &format!("{} weight=100", backend.addr),
        &format!(
            "health_check type=agent port={} send=state\\n interval=50ms jitter=0;",
            agent.addr.port()
        ),
    )
    .await;
    scene.becomes("weight", 50).await;
    scene.becomes("max_conns", 30).await;
    assert_eq!(agent.received(), b"state\n");
    assert_eq!(ask(scene.proxy.addr).await.unwrap(), "node");
    agent.answer(b"drain\n");
    scene.becomes("admin", "drain").await;
    assert!(ask(scene.proxy.addr).await.is_err());
    agent.answer(b"ready up 100%\n");
    scene.becomes("weight", 100).await;
    scene.becomes("verdict", "eligible").await;
    agent.answer(b"down # disk full\n");
    scene.becomes("health", "unhealthy").await;
    let backend = scene.backend().await;
    assert_eq!(backend["checks"][0]["text"], "disk full", "{backend}");
    assert!(ask(scene.proxy.addr).await.is_err());
}

#[tokio::test]
async fn kube_proxy_sets_the_weight_and_the_health_of_a_node() {
    let backend = Reserved::any();
    let _serving = backend.serve("node").await;
    let answer = b"HTTP/1.1 200 OK\r\nX-Load-Balancing-Endpoint-Weight: 7\r\n\r\n{}";
    let kube_proxy = Answering::start(answer).await;
    let scene = CheckedScene::start(
        &backend.addr.to_string(),
        &format!(
            "health_check type=node_port port={} interval=50ms jitter=0;",
            kube_proxy.addr.port()
        ),
    )
    .await;
    scene.becomes("weight", 7).await;
    let request = String::from_utf8(kube_proxy.received()).unwrap();
    assert!(
        request.starts_with("GET /healthz HTTP/1.1\r\n"),
        "{request}"
    );
    assert_eq!(ask(scene.proxy.addr).await.unwrap(), "node");
    kube_proxy.answer(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    scene.becomes("health", "unhealthy").await;
    assert!(ask(scene.proxy.addr).await.is_err());
}

#[cfg(feature = "health-tls")]
#[tokio::test]
async fn a_tls_check_completes_a_handshake_with_the_name_that_it_is_given() {
    let check = "health_check type=tls sni=www.example.com interval=50ms jitter=0 mandatory;";
    let tls = TlsServer::start();
    let scene = CheckedScene::start(&tls.addr.to_string(), check).await;
    scene.becomes("health", "healthy").await;
    let names = tls.names();
    assert!(!names.is_empty());
    let sent = |name: &Option<String>| name.as_deref() == Some("www.example.com");
    assert!(names.iter().all(sent), "{names:?}");

    let plain = Answering::start(b"220 hello\r\n").await;
    let scene = CheckedScene::start(&plain.addr.to_string(), check).await;
    scene.becomes("health", "unhealthy").await;
    let text = scene.backend().await["checks"][0]["text"].clone();
    assert!(
        text.as_str().unwrap().starts_with("TLS handshake failed: "),
        "{text}"
    );
}

/// The first probe lasts as long as the test wants.
#[tokio::test]
async fn a_mandatory_check_keeps_sessions_from_a_server_until_its_first_probe() {
    let backend = Reserved::any();
    let _serving = backend.serve("node").await;
    let (probed, at) = listen().await;
    let check = |mandatory| {
        let port = at.port();
        format!(
            "health_check_timeout 1h; health_check port={port} expect=ok interval=1h {mandatory};"
        )
    };
    let scene = CheckedScene::start(&backend.addr.to_string(), &check("mandatory")).await;
    let (mut probe, _) = within("a probe", probed.accept()).await.unwrap();
    scene.becomes("verdict", "unchecked").await;
    assert!(ask(scene.proxy.addr).await.is_err());
    probe.write_all(b"ok\n").await.unwrap();
    scene.becomes("health", "healthy").await;
    assert_eq!(ask(scene.proxy.addr).await.unwrap(), "node");

    let scene = CheckedScene::start(&backend.addr.to_string(), &check("")).await;
    let _probe = within("a probe", probed.accept()).await.unwrap();
    assert_eq!(ask(scene.proxy.addr).await.unwrap(), "node");
}

#[tokio::test]
async fn a_probe_begins_with_the_proxy_header_of_sessions_unless_it_has_a_port_of_its_own() {
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    // LOCAL, without addresses: HAProxy's probes have the same.
    let local = [&signature[..], b"\x20\0\0\0", b"hello"].concat();
    for (protocol, expected) in [
        ("on", b"PROXY TCP4 127.0.0.1 127.0.0.1 ".to_vec()),
        ("v2", local),
        ("off", b"hello".to_vec()),
    ] {
        let server = Answering::start(b"ok\n").await;
        let settings = format!(
            "proxy_protocol {protocol}; health_check send=hello expect=ok interval=50ms jitter=0 mandatory;"
        );
        let scene = CheckedScene::start(&server.addr.to_string(), &settings).await;
        scene.becomes("health", "healthy").await;
        // The server answers what it reads first, which may be the header alone.
        eventually(protocol, || server.received().starts_with(&expected)).await;
    }
    let (backend, probed) = (Reserved::any(), Answering::start(b"ok\n").await);
    let settings = format!(
        "proxy_protocol on; health_check port={} send=hello expect=ok interval=50ms jitter=0 mandatory;",
        probed.addr.port()
    );
    let scene = CheckedScene::start(&backend.addr.to_string(), &settings).await;
    scene.becomes("health", "healthy").await;
    eventually("the text alone", || probed.received() == b"hello").await;
}
