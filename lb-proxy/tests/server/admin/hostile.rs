//! Clients that are slow, send too much or never end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use lb_core::{Backend, Snapshot};
use lb_discovery::Static;
use lb_proxy::admin::{Admin, AdminListener, AdminServer, AdminSettings, MAX_CONNECTIONS};
use lb_proxy::{Listener, Proxy, Upstream};
use test_support::deadline::eventually;
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, eager, upstream};
use test_support::sockets::loopback;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_blocking;

use super::{AdminScene, request, tcp};

/// How many backends make a status of a megabyte, more than the kernel takes for a client that does not read.
const MANY_BACKENDS: u16 = 3000;

/// Slow, huge and many requests: the sessions go on, and so does the admin server afterwards.
#[tokio::test]
async fn hostile_clients_of_the_admin_server_delay_no_session() {
    let scene = AdminScene::new(AdminSettings::tcp(loopback())).await;
    let addr = scene.addr();
    let hostile = spawn_blocking(move || {
        let mut clients: Vec<TcpStream> = Vec::new();
        for i in 0..64 {
            // The kernel's queue may be full by then.
            let wait = Duration::from_millis(200);
            let Ok(mut client) = TcpStream::connect_timeout(&addr, wait) else {
                break;
            };
            match i % 2 {
                0 => client
                    .write_all(b"GET /status.json HTTP/1.1\r\nx: ")
                    .unwrap(),
                // The server closes the connection amid it.
                _ => drop(client.write_all(&[b'x'; 64 * 1024])),
            }
            clients.push(client);
        }
        clients
    });
    let clients = hostile.await.unwrap();
    assert!(clients.len() > 32);
    let both = scene.backends_of(20).await;
    assert_eq!(both.matches('a').count(), 10, "{both}");
    for client in clients {
        let _ = client.shutdown(Shutdown::Both);
    }
    let host = format!("host: {addr}\r\n");
    assert_eq!(tcp(addr, "GET", "/livez", &host).await.status, 200);
    let long = format!("{host}x: {}\r\n", "x".repeat(20_000));
    assert_eq!(tcp(addr, "GET", "/livez", &long).await.status, 431);
    let many = format!("{host}{}", "x: y\r\n".repeat(100));
    assert_eq!(tcp(addr, "GET", "/livez", &many).await.status, 431);
    scene.end().await;
}

#[tokio::test]
async fn clients_that_send_half_a_request_do_not_keep_a_probe_from_its_answer() {
    let scene = AdminScene::new(AdminSettings::tcp(loopback())).await;
    let mut halves = Vec::new();
    for _ in 0..2 * MAX_CONNECTIONS {
        let mut half = tokio::net::TcpStream::connect(scene.addr()).await.unwrap();
        half.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        halves.push(half);
    }
    assert_eq!(
        tcp(scene.addr(), "GET", "/livez", "host: [::1]\r\n")
            .await
            .status,
        200
    );

    // The one that has waited longest is closed, and the last one is open.
    let mut first = halves.swap_remove(0);
    match first.read(&mut [0]).await {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    let mut last = halves.swap_remove(0);
    let rest = b"host: localhost\r\nconnection: close\r\n\r\n";
    last.write_all(rest).await.unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    scene.proxy.end().await;
}

/// A proxy in front of a backend that answers with a byte, and an admin server whose status is large.
async fn with_many_backends() -> (RunningProxy, AdminServer) {
    let answering = upstream([Backend::new(listening("a").await)]);
    let others = (1..=MANY_BACKENDS).map(|i| {
        let [high, low] = i.to_be_bytes();
        Backend::new(([10, 0, high, low], 446).into()).name(format!("backend-{i}"))
    });
    let large = Upstream::builder("large")
        .discovery(Static::new(others.collect::<Snapshot>()))
        .discovery_config(eager())
        .build()
        .unwrap();
    let listener = Listener::new(loopback(), &answering);
    let proxy = Proxy::builder().listener(listener).upstream(&large);
    let proxy = RunningProxy::run(proxy.detailed_metrics(true).track_sessions(true)).await;
    eventually("the sets", || large.is_ready() && answering.is_ready()).await;
    let listener = AdminListener::open(&AdminSettings::tcp(loopback())).unwrap();
    let admin = Admin::builder(proxy.handle.clone()).build().serve(listener);
    (proxy, admin)
}

/// Answers of a megabyte that no client takes: each new one replaces one that was made, and probes are answered.
#[tokio::test]
async fn clients_that_never_read_their_answers_do_not_keep_a_probe_from_its_answer() {
    let (proxy, admin) = with_many_backends().await;
    let addr = admin.endpoint().key();
    let host = format!("host: {addr}\r\n");
    let status = tcp(addr, "GET", "/status.json", &host).await;
    assert!(status.body.len() > 1 << 19, "{} bytes", status.body.len());
    let mut silent = Vec::new();
    for _ in 0..2 * MAX_CONNECTIONS {
        let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
        let request = format!("GET /status.json HTTP/1.1\r\n{host}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        silent.push(client);
    }
    for _ in 0..4 {
        assert_eq!(tcp(addr, "GET", "/livez", &host).await.status, 200);
        session(&proxy).await;
    }
    drop(silent);
    admin.stop().await;
    proxy.end().await;
}

/// One session: a byte from the backend. Returns how long it took.
async fn session(proxy: &RunningProxy) -> Duration {
    let begin = Instant::now();
    let mut client = proxy.connect().await;
    assert_eq!(client.read_u8().await.unwrap(), b'a');
    begin.elapsed()
}

/// The time of all but one in a hundred of `times`.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

/// The answer to one request.
fn asked(addr: SocketAddr, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// As many complete requests as the server answers, each of which it computes for milliseconds. Prints what they cost the
/// sessions: `-- --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_expensive_requests_costs_no_session() {
    const SESSIONS: usize = 500;
    let (proxy, admin) = with_many_backends().await;
    let addr = admin.endpoint().key();
    let mut quiet = Vec::new();
    for _ in 0..SESSIONS {
        quiet.push(session(&proxy).await);
    }
    let answers = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicBool::new(false));
    let flood = (0..24).map(|i| {
        let (answers, ended) = (Arc::clone(&answers), Arc::clone(&ended));
        let target = ["/status.json", "/metrics", "/explain?upstream=large"][i % 3];
        let request = request("GET", target, &format!("host: {addr}\r\n"));
        spawn_blocking(move || {
            while !ended.load(Relaxed) {
                // The server closes connections that others replace.
                if asked(addr, &request).is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200 ")) {
                    answers.fetch_add(1, Relaxed);
                }
            }
        })
    });
    let flood: Vec<_> = flood.collect();
    eventually("the flood", || answers.load(Relaxed) >= 24).await;
    let mut flooded = Vec::new();
    while flooded.len() < SESSIONS || answers.load(Relaxed) < 100 {
        flooded.push(session(&proxy).await);
    }
    ended.store(true, Relaxed);
    let sessions = quiet.len() + flooded.len();
    eprintln!(
        "p99 of {SESSIONS} sessions without requests {:?}, of {} sessions during {} requests {:?}",
        p99(quiet),
        flooded.len(),
        answers.load(Relaxed),
        p99(flooded)
    );
    for client in flood {
        client.await.unwrap();
    }
    eventually("the ends", || proxy.metrics().active == 0).await;
    let metrics = proxy.metrics();
    assert_eq!(metrics.finished, sessions as u64, "{metrics:?}");
    admin.stop().await;
    proxy.end().await;
}
