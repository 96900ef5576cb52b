//! Connections to backends and listeners on unix sockets.

use std::io::ErrorKind;
use std::sync::Arc;

use lb_core::{Backend, Endpoint, FailLimit};
use lb_proxy::events::CloseReason;
use lb_proxy::routing::RouteAction;
use lb_proxy::settings::HalfClose;
use lb_proxy::{Listener, Proxy, Upstream};
use test_support::deadline::eventually;
use test_support::log::Capture;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::loopback;

use super::{Observer, ask_unix, directory, named_unix, path};

#[tokio::test]
async fn clients_and_backends_may_be_on_unix_sockets() {
    let dir = directory();
    let [front, back] = ["front", "back"].map(|name| path(&dir, name));
    let upstream = upstream([named_unix(&back, "a")]);
    let seen = Arc::new(Observer::default());
    let proxy = Proxy::builder()
        .listen(loopback(), &upstream)
        .listener(Listener::unix(&*front, &upstream).hooks(Arc::clone(&seen)));
    let proxy = RunningProxy::run(proxy).await;
    assert_eq!(test_support::streams::ask(proxy.addr).await.unwrap(), "a");
    assert_eq!(ask_unix(&front).await.unwrap(), "a");
    eventually("the hook", || !seen.0.lock().unwrap().is_empty()).await;
    let (connection, reason, backend) = seen.0.lock().unwrap()[0].clone();
    assert_eq!(reason, CloseReason::Finished);
    assert_eq!(backend, Some(Endpoint::Unix(back.as_path().into())));
    assert_eq!(connection.client_endpoint().to_string(), "unix:");
    assert_eq!(connection.peer_endpoint(), Endpoint::unnamed());
    let shown = format!("unix:{}", front.display());
    assert_eq!(connection.local_endpoint().to_string(), shown);
    let explained = upstream.explain(b"").unwrap();
    let line = format!("unix:{}", back.display());
    assert!(explained.to_string().contains(&line), "{explained}");
    let keys = [&front, &back].map(|path| Endpoint::unix_key(path));
    assert_eq!(proxy.handle.local_addrs(), [proxy.addr, keys[0]]);
    proxy.end().await;
}

#[tokio::test]
async fn a_unix_backend_that_does_not_listen_is_ejected_and_another_one_serves() {
    let dir = directory();
    let missing = path(&dir, "missing");
    let alive = named_unix(&path(&dir, "alive"), "alive");
    let upstream = upstream([Backend::unix(&*missing), alive]);
    let log = Capture::install();
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    for _ in 0..4 {
        let answer = test_support::streams::ask(proxy.addr).await.unwrap();
        assert_eq!(answer, "alive");
    }
    assert_eq!(proxy.metrics().connect_failures, 1);
    let lines = log.take().join("\n");
    let shown = format!("backend.addr=unix:{}", missing.display());
    assert!(lines.contains(&shown), "{lines}");
    assert!(lines.contains("No such file or directory"), "{lines}");
    proxy.end().await;
}

/// Linux answers EAGAIN, which is no reason to wait.
#[tokio::test]
async fn a_unix_backend_with_a_full_queue_counts_as_failed() {
    let dir = directory();
    let full = path(&dir, "full");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let addr = socket2::SockAddr::unix(&full).unwrap();
    socket.bind(&addr).unwrap();
    socket.listen(0).unwrap();
    let mut queued = Vec::new();
    loop {
        let client =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(&addr) {
            Ok(()) => queued.push(client),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    let alive = named("alive").await;
    let backends = [Backend::unix(&*full), Backend::new(alive)];
    let fail_limit = Some(FailLimit::default());
    let upstream = upstream(backends.map(|backend| backend.fail_limit(fail_limit)));
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    for _ in 0..3 {
        let answer = test_support::streams::ask(proxy.addr).await.unwrap();
        assert_eq!(answer, "alive");
    }
    assert_eq!(proxy.metrics().connect_failures, 1);
    proxy.end().await;
}

#[tokio::test]
async fn a_loop_over_unix_sockets_ends() {
    let dir = directory();
    let front = path(&dir, "front");
    let upstream: Upstream = upstream([Backend::unix(&*front)]);
    let described = Listener::unix(&*front, &upstream).half_close(HalfClose::End);
    let proxy = RunningProxy::start(described, None).await;
    assert_eq!(ask_unix(&front).await.unwrap_or_default(), "");
    eventually("the end of all", || proxy.metrics().active == 0).await;
    assert_eq!(proxy.metrics().accepted, 17);
    proxy.end().await;
}

/// nginx's `pass unix:PATH`.
#[tokio::test]
async fn a_connection_can_be_passed_to_a_listener_on_a_unix_socket() {
    let dir = directory();
    let front = path(&dir, "front");
    let upstream = upstream([named_unix(&path(&dir, "back"), "a")]);
    let seen = Arc::new(Observer::default());
    let key = Endpoint::unix_key(&front);
    let passing = Listener::new(loopback(), &upstream).route(move |_| RouteAction::Pass(key));
    let proxy = Proxy::builder()
        .listener(passing)
        .listener(Listener::unix(&*front, &upstream).hooks(Arc::clone(&seen)));
    let proxy = RunningProxy::run(proxy).await;
    assert_eq!(test_support::streams::ask(proxy.addr).await.unwrap(), "a");
    eventually("the hook", || !seen.0.lock().unwrap().is_empty()).await;
    let connection = seen.0.lock().unwrap()[0].0.clone();
    let shown = format!("unix:{}", front.display());
    assert_eq!(connection.local_endpoint().to_string(), shown);
    assert!(matches!(connection.client_endpoint(), Endpoint::Tcp(_)));
    proxy.end().await;
}
