//! The admin server over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{Backend, Snapshot};
use lb_discovery::{DriverConfig, Manual, Static};
use lb_proxy::admin::{
    Admin, AdminListener, AdminServer, AdminSettings, AdminToken, ConfigLine, MAX_CONNECTIONS,
};
use lb_proxy::{Listener, Proxy, Upstream};
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use test_support::deadline::eventually;
use test_support::discovery::{Script, Watch};
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, eager, reload, round_robin};
use test_support::sockets::loopback;
use test_support::streams::assert_reset;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_blocking;

const TOKEN: &str = "0123456789abcdef";
const OWN: &str = "X-Lb-Admin: 1\r\n";

/// A name that would be a script if a page showed it as HTML.
const MARKUP: &str = "<img src=x onerror=alert(1)>";

/// An answer of the admin server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends one request and reads to the end.
fn exchange(mut stream: impl Read + Write, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n")
}

async fn unix(path: &Path, method: &str, target: &str) -> Answer {
    let request = request(method, target, &format!("host: x\r\n{OWN}"));
    let path = path.to_owned();
    let ask = move || exchange(UnixStream::connect(path).unwrap(), &request);
    spawn_blocking(ask).await.unwrap()
}

pub(crate) async fn tcp(addr: SocketAddr, method: &str, target: &str, headers: &str) -> Answer {
    let request = request(method, target, headers);
    let ask = move || exchange(TcpStream::connect(addr).unwrap(), &request);
    spawn_blocking(ask).await.unwrap()
}

/// A proxy in front of the backends "a" and "b", and an admin server.
struct AdminScene {
    proxy: RunningProxy,
    backends: [SocketAddr; 2],
    admin: AdminServer,
}

impl AdminScene {
    async fn new(settings: AdminSettings) -> Self {
        let backends = [listening("a").await, listening("b").await];
        let names = ["one", MARKUP];
        let snapshot: Snapshot = backends
            .into_iter()
            .zip(names)
            .map(|(addr, name)| Backend::new(addr).with_name(name))
            .collect();
        let upstream = Upstream::builder("pool")
            .discovery(Static::new(snapshot))
            .discovery_config(eager())
            .policy(WeightedRoundRobin::new())
            .build()
            .unwrap();
        let proxy = Proxy::builder()
            .listener(Listener::new(loopback(), &upstream))
            .track_sessions(true);
        let proxy = RunningProxy::run(proxy).await;
        let admin = Admin::builder(proxy.handle.clone())
            .program("test", "1.2.3")
            .config(|| vec![ConfigLine::new("a.conf", 1, "stream {")])
            .build();
        let listener = AdminListener::open(&settings).unwrap();
        eventually("the membership", || upstream.is_ready()).await;
        Self {
            proxy,
            backends,
            admin: admin.serve(listener),
        }
    }

    fn addr(&self) -> SocketAddr {
        self.admin.endpoint().key()
    }

    /// The names of the backends that the next sessions get.
    async fn backends_of(&self, sessions: usize) -> String {
        let mut names = String::new();
        for _ in 0..sessions {
            let mut client = self.proxy.connect().await;
            names.push(client.read_u8().await.unwrap().into());
        }
        names
    }

    async fn end(self) {
        self.admin.stop().await;
        self.proxy.end().await;
    }
}

#[tokio::test]
async fn an_operator_steers_backends_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    let scene = AdminScene::new(AdminSettings::unix(path.as_path())).await;
    let ask = async |method: &str, target: String| unix(&path, method, &target).await;
    let [a, b] = scene.backends;

    assert_eq!(ask("POST", format!("/drain?backend={a}")).await.status, 200);
    assert_eq!(scene.backends_of(4).await, "bbbb");
    let status = ask("GET", "/status.json".into()).await.json();
    assert_eq!(status["version"], 1);
    assert_eq!(status["server"]["program_version"], "1.2.3");
    assert_eq!(status["server"]["ready"], true);
    let pool = &status["upstreams"][0];
    assert_eq!(pool["backends"][0]["verdict"], "draining");
    assert_eq!(pool["backends"][0]["source_admin"], "ready");
    assert_eq!(pool["backends"][1]["name"], MARKUP);
    assert_eq!(pool["tiers"][0]["eligible"], 1);
    let set = &status["overrides"][0];
    assert_eq!(
        (&set["backend"], &set["value"]),
        (&a.to_string().into(), &"drain".into())
    );
    assert!(set["by"].as_str().unwrap().starts_with("uid "));
    let parsed: lb_proxy::admin::status::Status = serde_json::from_value(status).unwrap();
    assert_eq!(parsed.listeners.len(), 1);

    let undrained = ask("POST", "/undrain?backend=one&upstream=pool".into()).await;
    assert_eq!(undrained.json()["backends"][0]["changed"], true);
    let heavy = ask("POST", format!("/weight?backend={b}&weight=300%25")).await;
    assert_eq!(heavy.json()["backends"][0]["now"]["weight"], 3);
    let eight = scene.backends_of(8).await;
    assert_eq!(eight.matches('b').count(), 6, "{eight}");

    let explained = ask("GET", "/explain?upstream=pool&client=10.0.0.1".into())
        .await
        .json();
    let chosen = explained["chosen"].as_str().unwrap().to_owned();
    let next = if chosen == a.to_string() { "a" } else { "b" };
    assert_eq!(scene.backends_of(1).await, next);
    let config = ask("GET", "/config".into()).await.json();
    assert_eq!(config["lines"][0]["text"], "stream {");
    scene.end().await;
    assert!(!path.exists());
}

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
async fn over_tcp_no_state_changes_without_the_token() {
    let token = Some(AdminToken::try_new(TOKEN).unwrap());
    for token in [None, token] {
        let scene = AdminScene::new(AdminSettings::tcp(loopback()).token(token.clone())).await;
        let addr = scene.addr();
        let drain = format!("/drain?backend={}", scene.backends[0]);
        let host = format!("host: {addr}\r\n");
        let refused = [
            (host.clone(), if token.is_some() { 401 } else { 403 }),
            (
                format!("{host}{OWN}"),
                if token.is_some() { 401 } else { 403 },
            ),
            (
                format!("{host}authorization: Bearer {TOKEN}0\r\n{OWN}"),
                if token.is_some() { 401 } else { 403 },
            ),
            (
                format!("host: evil.example\r\nauthorization: Bearer {TOKEN}\r\n"),
                421,
            ),
            (
                format!("{host}authorization: Bearer {TOKEN}\r\norigin: http://evil.example\r\n"),
                403,
            ),
        ];
        for (headers, status) in refused {
            let answer = tcp(addr, "POST", &drain, &headers).await;
            assert_eq!(answer.status, status, "{headers} {answer:?}");
        }
        let status = tcp(addr, "GET", "/status.json", &host).await;
        assert_eq!(status.json()["overrides"].as_array().unwrap().len(), 0);
        if token.is_some() {
            let right = format!("{host}authorization: Bearer {TOKEN}\r\n");
            assert_eq!(tcp(addr, "POST", &drain, &right).await.status, 200);
            let by = &tcp(addr, "GET", "/status.json", &host).await.json()["overrides"][0]["by"];
            assert!(by.as_str().unwrap().ends_with("with the token"), "{by}");
        }
        scene.end().await;
    }
}

#[tokio::test]
async fn a_name_with_markup_is_text_of_a_document_that_no_browser_renders() {
    let scene = AdminScene::new(AdminSettings::tcp(loopback())).await;
    let host = format!("host: {}\r\n", scene.addr());
    for target in [
        "/status.json",
        "/explain?upstream=pool",
        "/readyz",
        "/nothing",
        "/requests",
        "/page/main.js",
    ] {
        let answer = tcp(scene.addr(), "GET", target, &host).await;
        let head = &answer.head;
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(
            head.contains("content-security-policy: default-src 'none'"),
            "{head}"
        );
        assert!(head.contains("cache-control: no-store"), "{head}");
        assert!(!head.contains("text/html"), "{head}");
    }
    let page = tcp(scene.addr(), "GET", "/", &host).await;
    assert!(
        page.head
            .contains("content-security-policy: default-src 'none'")
    );
    assert!(page.head.contains("content-type: text/html"));
    assert!(!page.body.contains(MARKUP), "the page asks for all names");
    let status = tcp(scene.addr(), "GET", "/status.json", &host).await;
    assert!(status.head.contains("content-type: application/json"));
    assert!(status.body.contains(MARKUP));
    for (method, target, expected) in [
        ("DELETE", "/status.json", 405),
        ("GET", "/drain", 405),
        ("GET", "/nothing", 404),
        ("GET", "/explain?upstream=nothing", 404),
        ("GET", "/explain?upstream=pool&client=x", 400),
        ("GET", "/explain?upstream=pool&other=1", 400),
        ("GET", "/sessions?limit=-1", 400),
        ("GET", "/livez", 200),
    ] {
        let answer = tcp(scene.addr(), method, target, &host).await;
        assert_eq!(answer.status, expected, "{method} {target} {answer:?}");
    }
    scene.end().await;
}

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
async fn readiness_waits_for_the_membership_and_ends_first_at_a_shutdown() {
    let silent = Upstream::builder("silent")
        .discovery(Script::new([Watch::Hang]))
        .discovery_config(DriverConfig::default().initial_wait(Duration::from_secs(3600)))
        .build()
        .unwrap();
    let known = round_robin("known", listening("a").await);
    let describe = |upstream| {
        let proxy = Proxy::builder().listen(loopback(), upstream);
        proxy.pre_stop_delay(Duration::from_secs(3600))
    };
    let proxy = RunningProxy::run(describe(&silent)).await;
    let listener = AdminListener::open(&AdminSettings::tcp(loopback())).unwrap();
    let admin = Admin::builder(proxy.handle.clone()).build().serve(listener);
    let addr = admin.endpoint().key();
    let ready = async || tcp(addr, "GET", "/readyz", "host: localhost\r\n").await;
    let answer = ready().await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("[-] membership"), "{answer:?}");
    reload(&proxy, describe(&known)).await.unwrap();
    eventually("the membership", || known.is_ready()).await;
    eventually("the listeners", || proxy.handle.is_ready()).await;
    let answer = ready().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    proxy.handle.shutdown();
    let answer = ready().await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("[-] shutdown"), "{answer:?}");
    assert_eq!(
        tcp(addr, "GET", "/livez", "host: localhost\r\n")
            .await
            .status,
        200
    );
    admin.stop().await;
    proxy.handle.abort();
    proxy.end().await;
}

#[tokio::test]
async fn a_listener_that_other_machines_reach_takes_an_allowed_network() {
    let any: SocketAddr = ([0, 0, 0, 0], 0).into();
    let error = AdminListener::open(&AdminSettings::tcp(any)).unwrap_err();
    assert!(error.to_string().contains("no loopback address"), "{error}");
    let allowed = AdminSettings::tcp(any).allow("10.0.0.0/8".parse().unwrap());
    drop(AdminListener::open(&allowed).unwrap());

    // The file of a process that died is replaced, that of one that listens is not.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let settings = AdminSettings::unix(path.as_path());
    let first = AdminListener::open(&settings).unwrap();
    let second = AdminListener::open(&settings).unwrap_err();
    assert!(second.to_string().contains("cannot listen"), "{second}");
    drop(first);
    assert!(!path.exists());

    // A process that accepts nothing and has a full queue listens, and is not waited for.
    let hangs = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let addr = SockAddr::unix(&path).unwrap();
    hangs.bind(&addr).unwrap();
    hangs.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        if client.connect(&addr).is_err() {
            break;
        }
        waiting.push(client);
    }
    let error = AdminListener::open(&settings).unwrap_err();
    assert!(error.to_string().contains("cannot listen"), "{error}");
    assert!(path.exists());
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

#[tokio::test]
async fn a_new_token_is_applied_even_if_the_group_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("lb.sock"), dir.path().join("moved"));
    let settings = AdminSettings::unix(path.as_path());
    let scene = AdminScene::new(settings.clone()).await;
    // The group of a file that is elsewhere cannot be set.
    std::fs::rename(&path, &moved).unwrap();
    let token = Some(AdminToken::try_new(TOKEN).unwrap());
    let settings = settings.token(token).group(1);
    for _ in 0..2 {
        assert!(scene.admin.update(&settings).is_err());
    }
    let drain = format!("/drain?backend={}", scene.backends[0]);
    let headers = format!("host: x\r\nauthorization: Bearer {TOKEN}\r\n");
    let request = request("POST", &drain, &headers);
    let ask = move || exchange(UnixStream::connect(moved).unwrap(), &request);
    let answer = spawn_blocking(ask).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
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
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    let mut last = halves.swap_remove(0);
    let rest = b"host: localhost\r\nconnection: close\r\n\r\n";
    last.write_all(rest).await.unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    scene.proxy.end().await;
}
