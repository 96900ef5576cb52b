//! Live sessions: lists, and closing them.

use std::path::Path;

use lb_core::Backend;
use lb_discovery::Manual;
use lb_proxy::admin::{Admin, AdminListener, AdminSettings};
use lb_proxy::{Listener, Proxy, Upstream};
use serde_json::Value;
use test_support::deadline::eventually;
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, eager, upstream};
use test_support::sockets::loopback;
use test_support::streams::{assert_reset, read_until_reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{AdminScene, unix};

#[tokio::test]
async fn sessions_are_listed_and_those_of_a_backend_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    let scene = AdminScene::new(AdminSettings::unix(path.as_path())).await;
    let ask = async |method: &str, target: String| unix(&path, method, &target).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = scene.proxy.connect().await;
        clients.push((client.read_u8().await.unwrap(), client));
    }
    let a = scene.backends[0];
    let relaying = "/sessions?phase=relaying".to_owned();
    eventually("sessions that relay", || scene.proxy.metrics().active == 4).await;
    let list = ask("GET", format!("{relaying}&backend={a}&limit=1"))
        .await
        .json();
    assert_eq!(
        (&list["matched"], &list["tracked"]),
        (&2.into(), &true.into())
    );
    let session = &list["sessions"][0];
    assert_eq!(session["backend"], a.to_string());
    assert_eq!(session["listener"], scene.proxy.addr.to_string());
    assert_eq!(session["bytes_to_client"], 1);
    assert_eq!(
        ask("POST", format!("/close?backend={a}")).await.json()["closed"],
        2
    );
    for (backend, client) in &mut clients {
        match backend {
            b'a' => assert_reset(client).await,
            _ => client.write_all(b"x").await.unwrap(),
        }
    }
    drop(clients);
    scene.end().await;
}

#[tokio::test]
async fn sessions_of_a_removed_backend_are_listed_and_closed() {
    let [gone, stays] = [listening("g").await, listening("s").await];
    let (manual, sources) = Manual::new([gone].map(Backend::new).into_iter().collect());
    let upstream = Upstream::builder("pool")
        .discovery(manual)
        .discovery_config(eager())
        .build()
        .unwrap();
    let proxy = Proxy::builder()
        .listener(Listener::new(loopback(), &upstream))
        .track_sessions(true);
    let proxy = RunningProxy::run(proxy).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    let listener = AdminListener::open(&AdminSettings::unix(path.as_path())).unwrap();
    let admin = Admin::builder(proxy.handle.clone()).build().serve(listener);
    let ask = async |method: &str, target: String| unix(&path, method, &target).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = proxy.connect().await;
        assert_eq!(client.read_u8().await.unwrap(), b'g');
        clients.push(client);
    }
    sources.set([stays].map(Backend::new).into_iter().collect());
    let is_left = || {
        let set = upstream.backends();
        set.snapshot().iter().all(|backend| backend.addr == stays)
    };
    eventually("the removal", is_left).await;

    let of_gone = format!("/sessions?backend={gone}&order=oldest");
    let list = ask("GET", of_gone.clone()).await.json();
    assert_eq!(list["matched"], 3);
    let id = &list["sessions"][0]["id"];
    let local = clients[0].local_addr().unwrap();
    assert_eq!(list["sessions"][0]["client"], local.to_string());
    let one = ask("GET", format!("/sessions?id={id}")).await.json();
    assert_eq!(one["matched"], 1);
    let closed = ask("POST", format!("/close?id={id}")).await;
    assert_eq!(closed.json()["closed"], 1);
    assert_reset(&mut clients[0]).await;
    eventually("the end", || proxy.metrics().active == 2).await;
    for (target, status) in [
        (format!("/close?id={id}"), 404),
        ("/close?id=x".to_owned(), 400),
        ("/close?upstream=pool".to_owned(), 400),
        (format!("/close?backend={}", loopback()), 404),
    ] {
        assert_eq!(ask("POST", target.clone()).await.status, status, "{target}");
    }
    let closed = ask("POST", format!("/close?backend={gone}&upstream=pool")).await;
    assert_eq!(closed.json()["closed"], 2);
    for client in &mut clients[1..] {
        assert_reset(client).await;
    }
    eventually("the ends", || proxy.metrics().active == 0).await;
    assert_eq!(ask("GET", of_gone).await.status, 404);
    admin.stop().await;
    proxy.end().await;
}

async fn closed(path: &Path, target: &str) -> (Value, Value) {
    let answer = unix(path, "POST", target).await.json();
    (answer["closed"].clone(), answer["reset"].clone())
}

/// A close waits for a client that does not read, however often it is asked for. One by force does not.
#[tokio::test]
async fn only_a_close_by_force_resets() {
    let node = tokio::net::TcpListener::bind(loopback()).await.unwrap();
    let addr = node.local_addr().unwrap();
    let upstream = upstream([Backend::new(addr)]);
    let proxy = Proxy::builder().listener(Listener::new(loopback(), &upstream));
    let proxy = RunningProxy::run(proxy.track_sessions(true)).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    let listener = AdminListener::open(&AdminSettings::unix(path.as_path())).unwrap();
    let admin = Admin::builder(proxy.handle.clone()).build().serve(listener);
    let close = format!("/close?backend={addr}");
    for force in [false, true] {
        let mut client = proxy.connect().await;
        let mut stream = node.accept().await.unwrap().0;
        let writer = tokio::spawn(async move {
            let chunk = vec![7; 1 << 20];
            while stream.write_all(&chunk).await.is_ok() {}
        });
        let before = proxy.metrics().bytes_to_clients;
        eventually("bytes", || proxy.metrics().bytes_to_clients > before).await;
        if force {
            let answer = closed(&path, &format!("{close}&force=1")).await;
            assert_eq!(answer, (1.into(), 1.into()));
        } else {
            assert_eq!(closed(&path, &close).await, (1.into(), 0.into()));
            let mut phase = Value::Null;
            while phase != "closing" {
                let list = unix(&path, "GET", "/sessions").await.json();
                phase = list["sessions"][0]["phase"].clone();
            }
            // What was acknowledged is still delivered.
            for _ in 0..2 {
                let again = unix(&path, "POST", &close).await.json();
                let expected = serde_json::json!({ "closed": 0, "reset": 0, "closing": 1 });
                assert_eq!(again, expected);
            }
            assert_eq!(proxy.metrics().active, 1);
            let answer = closed(&path, &format!("{close}&force=1")).await;
            assert_eq!(answer, (1.into(), 1.into()));
        }
        eventually("the end", || proxy.metrics().active == 0).await;
        writer.await.unwrap();
        read_until_reset(&mut client).await;
    }
    let invalid = unix(&path, "POST", &format!("{close}&force=maybe")).await;
    assert_eq!(invalid.status, 400, "{invalid:?}");
    admin.stop().await;
    proxy.end().await;
}

#[tokio::test]
async fn what_the_kernel_knows_of_the_sockets_to_backends_is_shown_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    let scene = AdminScene::new(AdminSettings::unix(path.as_path())).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = scene.proxy.connect().await;
        client.read_u8().await.unwrap();
        clients.push(client);
    }
    let list = unix(&path, "GET", "/sessions?tcp=1").await.json();
    for session in list["sessions"].as_array().unwrap() {
        let tcp = &session["tcp"];
        assert!(tcp["rtt_us"].as_u64() > Some(0), "{session}");
        assert!(tcp["sent"].as_u64() > Some(0), "{session}");
    }
    let list = unix(&path, "GET", "/sessions").await.json();
    assert!(list["sessions"][3]["tcp"].is_null(), "{list}");
    for (target, samples) in [("/metrics", None), ("/metrics?sockets=100", Some("4"))] {
        let scrape = unix(&path, "GET", target).await.body;
        let line = scrape
            .lines()
            .find_map(|line| line.strip_prefix("lb_upstream_socket_samples{upstream=\"pool\"} "));
        assert_eq!(line, samples, "{scrape}");
        assert!(scrape.contains("lb_server_ready 1"), "{scrape}");
    }
    let invalid = unix(&path, "GET", "/metrics?sockets=all").await;
    assert_eq!(invalid.status, 400, "{invalid:?}");
    drop(clients);
    scene.end().await;
}
