//! The log of failures: a refused client leaves a line, a served one leaves none.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{AdminState, Backend, FailLimit};
use lb_proxy::access::{Access, ClientZone, Excess, Network};
use lb_proxy::events::{Admission, Connection};
use lb_proxy::proxy_protocol::{ProxyProtocol, TrustedNetworks};
use lb_proxy::settings::BindSource;
use lb_proxy::{Hooks, Limits, Listener};
use test_support::deadline::eventually;
use test_support::log::Capture;
use test_support::nodes::{listening, named};
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::{loopback, refusing};
use test_support::streams::{ask, assert_refused, assert_reset, reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The lines at `warn` and above.
fn failures(log: &Capture) -> Vec<String> {
    let mut lines = log.take();
    lines.retain(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    lines
}

/// Asserts that one of `lines` contains all of `parts`.
#[track_caller]
fn assert_logged(lines: &[String], parts: &[&str]) {
    let told = |line: &&String| parts.iter().all(|part| line.contains(part));
    assert!(
        lines.iter().any(|line| told(&line)),
        "{parts:?} in {lines:#?}"
    );
}

async fn over(
    backends: impl IntoIterator<Item = Backend>,
    settings: impl FnOnce(Listener) -> Listener,
) -> RunningProxy {
    let upstream = upstream(backends);
    RunningProxy::start(settings(Listener::new(loopback(), &upstream)), None).await
}

async fn over_a(settings: impl FnOnce(Listener) -> Listener) -> RunningProxy {
    over([Backend::new(named("a").await)], settings).await
}

/// Asserts that a client of `proxy` is refused and a line of the log contains `parts`.
async fn assert_refusal_is_logged(proxy: RunningProxy, parts: &[&str]) {
    let log = Capture::install();
    let listener = format!("listener={}", proxy.addr);
    assert_refused(proxy.addr).await;
    eventually("the end", || proxy.metrics().active == 0).await;
    let lines = failures(&log);
    let parts: Vec<_> = parts.iter().copied().chain([&*listener]).collect();
    assert_logged(&lines, &parts);
    proxy.end().await;
}

#[tokio::test]
async fn served_clients_leave_no_line() {
    let log = Capture::install();
    let proxy = over_a(|listener| listener).await;
    for _ in 0..5 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    }
    proxy.end().await;
    assert_eq!(failures(&log), [] as [String; 0]);
}

#[tokio::test]
async fn a_refused_attempt_is_logged() {
    let (_held, dead) = refusing();
    let log = Capture::install();
    let proxy = over([Backend::new(dead)], |listener| listener).await;
    assert_refused(proxy.addr).await;
    eventually("the end", || proxy.metrics().active == 0).await;
    let lines = failures(&log);
    let backend = format!("backend.addr={dead}");
    let connect = [
        "WARN",
        "Attempts to connect failed",
        "upstream=\"test\"",
        &backend,
        "refused",
    ];
    assert_logged(&lines, &connect);
    let client = [
        "ERROR",
        "Clients without a backend",
        "upstream=\"test\"",
        "clients=1",
    ];
    assert_logged(&lines, &client);
    proxy.end().await;
}

#[tokio::test]
async fn a_client_without_an_eligible_backend_is_logged() {
    let (_held, dead) = [refusing(), refusing()]
        .into_iter()
        .unzip::<_, _, Vec<_>, Vec<_>>();
    let limit = FailLimit::new(NonZeroU32::MIN, Duration::from_secs(600));
    let backends = dead.into_iter().map(Backend::new);
    let backends = backends.map(|backend| backend.fail_limit(Some(limit)));
    let proxy = over(backends, |listener| listener).await;
    assert_refused(proxy.addr).await;
    eventually("both ejections", || proxy.metrics().ejections == 2).await;
    assert_refusal_is_logged(proxy, &["ERROR", "Clients without a backend", "ejected"]).await;
}

#[tokio::test]
async fn a_client_without_a_ready_backend_is_logged() {
    let down = Backend::new(named("a").await).admin(AdminState::Drain);
    let proxy = over([down], |listener| listener).await;
    let parts = [
        "ERROR",
        "Clients without a backend",
        "no backend takes connections",
    ];
    assert_refusal_is_logged(proxy, &parts).await;
}

#[tokio::test]
async fn a_missing_source_address_is_logged() {
    let log = Capture::install();
    // A documentation address, which no machine has.
    let foreign: IpAddr = [192, 0, 2, 1].into();
    let proxy = over_a(|listener| listener.bind_source(BindSource::any().addr(foreign))).await;
    assert_refused(proxy.addr).await;
    eventually("the end", || proxy.metrics().active == 0).await;
    let lines = failures(&log);
    assert_logged(
        &lines,
        &[
            "WARN",
            "Attempts to connect failed",
            "no source address or port",
        ],
    );
    assert_logged(&lines, &["ERROR", "Clients without a backend"]);
    proxy.end().await;
}

#[tokio::test]
async fn a_denied_address_is_logged() {
    let all = "127.0.0.0/8".parse::<Network>().unwrap();
    let proxy = over_a(|listener| listener.access(Access::new().deny(all))).await;
    let parts = [
        "WARN",
        "Clients refused",
        "address denied",
        "client.addr=127.0.0.1:",
    ];
    assert_refusal_is_logged(proxy, &parts).await;
}

#[tokio::test]
async fn the_limits_of_a_client_are_logged() {
    let zone = ClientZone::builder().build();
    let backend = Backend::new(listening("a").await);
    let limited = |listener: Listener| listener.limit_clients(&zone, 1);
    let proxy = over([backend], limited).await;
    let mut first = proxy.connect().await;
    assert_eq!(first.read_u8().await.unwrap(), b'a');
    let log = Capture::install();
    assert_refused(proxy.addr).await;
    eventually("the end", || proxy.metrics().active == 1).await;
    assert_logged(
        &failures(&log),
        &["WARN", "Clients refused", "sessions of this client"],
    );
    drop(first);
    proxy.end().await;
}

#[tokio::test]
async fn an_exhausted_session_limit_is_logged() {
    for (excess, parts) in [
        (Excess::Refuse, ["Clients refused", "all sessions in use"]),
        (Excess::Wait, ["Accepting paused", "the limit is 1"]),
    ] {
        let one = Limits::default().sessions(1).excess(excess);
        let backend = Backend::new(listening("a").await);
        let proxy = over([backend], |listener| listener.limits(one)).await;
        let log = Capture::install();
        let mut first = proxy.connect().await;
        assert_eq!(first.read_u8().await.unwrap(), b'a');
        let second = proxy.connect().await;
        eventually("the refusal or the pause", || {
            let metrics = proxy.metrics();
            metrics.sessions_refused + metrics.accept_pauses > 0
        })
        .await;
        assert_logged(&failures(&log), &parts);
        drop((first, second));
        proxy.end().await;
    }
}

#[tokio::test]
async fn invalid_first_bytes_are_logged_and_a_probe_without_bytes_is_not() {
    let trusted: TrustedNetworks = ["127.0.0.0/8".parse::<Network>().unwrap()]
        .into_iter()
        .collect();
    let protocol = Arc::new(ProxyProtocol::required(trusted));
    let proxy = over_a(|listener| listener.preread(protocol)).await;
    let log = Capture::install();
    drop(proxy.connect().await);
    eventually("the probe's end", || proxy.metrics().preread_errors == 1).await;
    assert_eq!(failures(&log), [] as [String; 0]);
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert_reset(&mut client).await;
    eventually("the client's end", || proxy.metrics().preread_errors == 2).await;
    let parts = [
        "WARN",
        "Clients refused",
        "first bytes wrong",
        "PROXY protocol header, byte 0",
    ];
    assert_logged(&failures(&log), &parts);
    proxy.end().await;
}

#[derive(Debug)]
struct RefuseAll;

impl Hooks for RefuseAll {
    fn accept(&self, _: &Connection) -> Admission {
        Admission::Refuse
    }
}

#[tokio::test]
async fn a_refusal_by_a_hook_is_logged() {
    let proxy = over_a(|listener| listener.hooks(Arc::new(RefuseAll))).await;
    assert_refusal_is_logged(proxy, &["WARN", "Clients refused", "refused by a hook"]).await;
}

#[tokio::test]
async fn a_loop_over_an_own_listener_is_logged() {
    let socket = std::net::TcpListener::bind(loopback()).unwrap();
    let addr: SocketAddr = socket.local_addr().unwrap();
    let upstream = upstream([Backend::new(addr)]);
    let listener = Listener::from_std(socket, &upstream).unwrap();
    let proxy = RunningProxy::start(listener, None).await;
    let log = Capture::install();
    assert_refused(addr).await;
    eventually("the end", || proxy.metrics().active == 0).await;
    let lines = failures(&log);
    let backend = format!("backend.addr={addr}");
    let parts = [
        "Attempts to connect failed",
        "loop",
        &backend,
        "back to a listener of this proxy",
    ];
    assert_logged(&lines, &parts);
    proxy.end().await;
}

/// A backend that accepts and then resets is not ejected, because its connections succeed.
#[tokio::test]
async fn sessions_that_a_backend_resets_are_logged() {
    let backend = TcpListener::bind(loopback()).await.unwrap();
    let addr = backend.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = backend.accept().await {
            reset(stream);
        }
    });
    let proxy = over([Backend::new(addr)], |listener| listener).await;
    let log = Capture::install();
    assert_refused(proxy.addr).await;
    eventually("the end", || proxy.metrics().backend_resets == 1).await;
    let parts = [
        "WARN",
        "Sessions reset by backends",
        "upstream=\"test\"",
        "sessions=1",
    ];
    let backend = format!("backend.addr={addr}");
    assert_logged(&failures(&log), &[&parts[..], &[&backend]].concat());
    proxy.end().await;
}

/// The shutdown of a proxy reports the remaining counts.
#[tokio::test]
async fn the_remaining_counts_are_logged_at_the_end() {
    let all = "127.0.0.0/8".parse::<Network>().unwrap();
    let proxy = over_a(|listener| listener.access(Access::new().deny(all))).await;
    let log = Capture::install();
    for _ in 0..20 {
        assert_refused(proxy.addr).await;
    }
    eventually("the end", || proxy.metrics().access_denied == 20).await;
    proxy.end().await;
    let lines = failures(&log);
    let clients = lines.iter().map(|line| {
        let (_, rest) = line.split_once("clients=").unwrap();
        rest.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    assert_eq!(clients.sum::<u64>(), 20, "{lines:#?}");
    assert!(lines.len() < 8, "{lines:#?}");
}
