//! `/explain` by listener: the route of a session, without a session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use lb_proxy::access::Access;
use lb_proxy::admin::{Admin, AdminListener, AdminServer, AdminSettings, MAX_CONNECTIONS};
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::routing::{RouteAction, Split, SplitTarget, VirtualServer, VirtualServers};
use lb_proxy::server_names::ServerNames;
use lb_proxy::{Listener, Proxy, Upstream};
use serde_json::Value;
use test_support::deadline::eventually;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, round_robin};
use test_support::sockets::loopback;
use test_support::streams::read_all;
use test_support::tls::client_hello;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::admin::tcp;

async fn pool(name: &'static str) -> Upstream {
    round_robin(name, named(name).await)
}

struct ExplainScene {
    proxy: RunningProxy,
    admin: AdminServer,
}

impl ExplainScene {
    async fn new(proxy: lb_proxy::ProxyBuilder) -> Self {
        let proxy = RunningProxy::run(proxy).await;
        let upstreams = proxy.handle.upstreams();
        eventually("memberships", || upstreams.iter().all(Upstream::is_ready)).await;
        let listener = AdminListener::open(&AdminSettings::tcp(loopback())).unwrap();
        let admin = Admin::builder(proxy.handle.clone()).build().serve(listener);
        Self { proxy, admin }
    }

    async fn explain(&self, query: &str) -> (u16, Value) {
        let target = format!("/explain?{query}");
        let addr = self.admin.endpoint().key();
        let answer = tcp(addr, "GET", &target, "host: localhost\r\n").await;
        (answer.status, answer.json())
    }

    async fn end(self) {
        self.admin.stop().await;
        self.proxy.end().await;
    }
}

/// What a client that asks for `name` receives.
async fn ask(addr: SocketAddr, name: &'static str) -> String {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(&client_hello(name)).await.unwrap();
    client.shutdown().await.unwrap();
    String::from_utf8(read_all(&mut client).await).unwrap()
}

#[tokio::test]
async fn the_route_that_is_explained_is_that_of_a_session() {
    let (default, own, wild, function, table, routed, resolved) = (
        pool("default").await,
        pool("own").await,
        pool("wild").await,
        pool("function").await,
        pool("table").await,
        pool("routed").await,
        pool("resolved").await,
    );
    let mut of_default = ServerNames::new();
    of_default.insert("own.test", own.clone()).unwrap();
    let mut of_wild = ServerNames::new();
    of_wild.insert("table.wild.test", table.clone()).unwrap();
    let (later, direct) = (resolved.clone(), routed.clone());
    let by_route = VirtualServer::new(&default)
        .name("routed.test")
        .name("later.test")
        .label("the routes")
        .route(move |connection| match connection.server_name() {
            Some("routed.test") => direct.clone().into(),
            _ => {
                let later = later.clone();
                RouteAction::later(async move {
                    sleep(Duration::from_millis(1)).await;
                    later
                })
            }
        });
    let servers = VirtualServers::new()
        .server(
            VirtualServer::new(&wild)
                .name("*.wild.test")
                .server_names(of_wild),
        )
        .server(by_route)
        .server(VirtualServer::new(&function).matching(|c| c.server_name() == Some("f.test")));
    let listener = Listener::new(loopback(), &default)
        .label("front")
        .preread(Arc::new(ClientHelloReader::new()))
        .server_names(of_default)
        .virtual_servers(servers);
    let proxy = Proxy::builder()
        .listener(listener)
        .upstream(&routed)
        .upstream(&resolved);
    let scene = ExplainScene::new(proxy).await;
    let addr = scene.proxy.addr;
    for (name, expected, by, server) in [
        ("own.test", "own", "server_names", "front"),
        ("a.wild.test", "wild", "default_upstream", ""),
        ("table.wild.test", "table", "server_names", ""),
        ("routed.test", "routed", "route_function", "the routes"),
        ("later.test", "resolved", "route_function", "the routes"),
        ("f.test", "function", "default_upstream", ""),
        ("other.test", "default", "default_upstream", "front"),
    ] {
        assert_eq!(ask(addr, name).await, expected, "{name}");
        let query = format!("listener={addr}&client=10.0.0.1&sni={name}");
        let (status, explained) = scene.explain(&query).await;
        assert_eq!(status, 200, "{explained}");
        assert_eq!(explained["upstream"], expected, "{name}");
        assert_eq!(explained["action"], "upstream");
        let steps = explained["route"].as_array().unwrap();
        let last = &steps[steps.len() - 1];
        let decided = |step: &Value, key: &str| step[key].as_str().unwrap_or("").to_owned();
        // What the names choose, the choice of the server follows.
        assert!(
            steps.iter().any(|step| decided(step, "by") == by),
            "{name} {explained}"
        );
        assert_eq!(decided(last, "server"), server, "{name} {explained}");
    }
    for (listener, status) in [
        (addr.port().to_string(), 200),
        ("front".to_owned(), 200),
        ("back".to_owned(), 404),
        ("127.0.0.1:1".to_owned(), 404),
        (format!("{addr}&upstream=own"), 400),
    ] {
        let (answered, text) = scene
            .explain(&format!("listener={listener}&client=::1"))
            .await;
        assert_eq!(answered, status, "{listener} {text}");
    }
    let (status, text) = scene.explain("listener=front").await;
    assert_eq!(status, 400, "a route needs a client: {text}");
    scene.end().await;
}

#[tokio::test]
async fn refusals_answers_and_passed_connections_are_explained() {
    let (inner, outer) = (pool("inner").await, pool("outer").await);
    let made = Arc::new(AtomicUsize::new(0));
    let denied = "10.9.0.0/16".parse::<lb_proxy::access::Network>().unwrap();
    let counted = Arc::clone(&made);
    let back = Listener::new(loopback(), &inner)
        .label("back")
        .access(Access::new().deny(denied));
    let target = Arc::new(std::sync::OnceLock::<SocketAddr>::new());
    let to = Arc::clone(&target);
    let front = Listener::new(loopback(), &outer)
        .label("front")
        .preread(Arc::new(ClientHelloReader::new().limit(100)))
        .session_data(move |connection| {
            if !connection.is_dry_run() {
                counted.fetch_add(1, Relaxed);
            }
        })
        .route(move |connection| match connection.server_name() {
            Some("answer.test") => RouteAction::Respond((*b"hello").into()),
            Some("refuse.test") => RouteAction::Refuse("closed\ntoday".into()),
            Some("nowhere.test") => RouteAction::Pass(([127, 0, 0, 1], 1).into()),
            Some("hang.test") => RouteAction::Later(Box::pin(async { panic!("on purpose") })),
            Some(_) => RouteAction::Pass(*to.get().unwrap()),
            None => RouteAction::Default,
        });
    let scene = ExplainScene::new(Proxy::builder().listener(front).listener(back)).await;
    target.set(scene.proxy.handle.local_addrs()[1]).unwrap();
    let ask = async |rest: &str| scene.explain(&format!("listener=front&{rest}")).await.1;

    let passed = ask("client=10.0.0.1&sni=pass.test").await;
    assert_eq!(passed["upstream"], "inner");
    assert_eq!(passed["route"][0]["server"], "front");
    assert_eq!(passed["route"][1]["server"], "back");
    assert_eq!(
        passed["route"][1]["listener"],
        target.get().unwrap().to_string()
    );
    let plain = ask("client=10.0.0.1").await;
    assert_eq!(plain["upstream"], "outer");
    let answered = ask("client=10.0.0.1&sni=answer.test").await;
    assert_eq!(
        (&answered["action"], &answered["bytes"]),
        (&"respond".into(), &5.into())
    );
    assert!(answered.get("upstream").is_none());
    let long = "x".repeat(200);
    for (client, name, reason) in [
        ("10.0.0.1", "refuse.test", "closed\\ntoday"),
        ("10.0.0.1", "nowhere.test", "no listener on 127.0.0.1:1"),
        ("10.9.0.1", "pass.test", "the access rules deny the client"),
        ("10.0.0.1", "hang.test", "the route's look-up panicked"),
        ("10.0.0.1", &long, "first bytes refused: "),
    ] {
        let refused = ask(&format!("client={client}&sni={name}")).await;
        assert_eq!(refused["action"], "refuse", "{refused}");
        assert!(
            refused["reason"].as_str().unwrap().starts_with(reason),
            "{refused}"
        );
    }
    // A listener without a reader of first bytes knows no name.
    let (_, unread) = scene.explain("listener=back&client=::1&sni=a.test").await;
    assert_eq!(unread["route"][0]["by"], "preread");
    assert_eq!(unread["upstream"], "inner");
    assert_eq!(made.load(Relaxed), 0);
    scene.end().await;
}

#[tokio::test]
async fn look_ups_for_explanations_do_not_keep_probes_waiting() {
    let upstream = pool("u").await;
    let (begun, found) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (looks, may_end) = (Arc::clone(&begun), Arc::clone(&found));
    let to = upstream.clone();
    let listener = Listener::new(loopback(), &upstream)
        .label("front")
        .route(move |_| {
            let (to, looks, may_end) = (to.clone(), Arc::clone(&looks), Arc::clone(&may_end));
            RouteAction::later(async move {
                looks.fetch_add(1, Relaxed);
                let _ = may_end.acquire().await;
                to
            })
        });
    let scene = ExplainScene::new(Proxy::builder().listener(listener)).await;
    let addr = scene.admin.endpoint().key();
    let ask = move |target| async move { tcp(addr, "GET", target, "host: localhost\r\n").await };
    let route = "/explain?listener=front&client=10.0.0.1";
    let waiting = [(); 2].map(|()| tokio::spawn(ask(route)));
    eventually("two look-ups", || begun.load(Relaxed) == 2).await;
    for _ in 0..MAX_CONNECTIONS {
        let refused = ask(route).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.head.contains("\r\nretry-after: 1"), "{refused:?}");
    }
    assert_eq!(begun.load(Relaxed), 2);
    // What needs no look-up is answered.
    for target in ["/livez", "/explain?upstream=u&client=10.0.0.1"] {
        assert_eq!(ask(target).await.status, 200, "{target}");
    }
    found.add_permits(1);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().json()["upstream"], "u");
    }
    assert_eq!(ask(route).await.status, 200);
    scene.end().await;
}

#[tokio::test]
async fn a_split_is_explained_with_its_shares_and_the_next_turn_which_is_not_taken() {
    let (a, b) = (pool("a").await, pool("b").await);
    let targets = [&a, &b].map(|upstream| SplitTarget::Upstream(upstream.clone()));
    let split = Arc::new(Split::new([1, 1].into_iter().zip(targets)));
    let listener =
        Listener::new(loopback(), &a).route(move |_| RouteAction::Split(Arc::clone(&split)));
    let scene = ExplainScene::new(Proxy::builder().listener(listener).upstream(&b)).await;
    let addr = scene.proxy.addr;
    let query = format!("listener={addr}&client=10.0.0.1");
    for _ in 0..3 {
        let (_, first) = scene.explain(&query).await;
        let (_, second) = scene.explain(&query).await;
        assert_eq!(first["upstream"], second["upstream"]);
        let detail = first["route"][0]["detail"].as_str().unwrap();
        assert_eq!(detail, "splits 2 turns: 1 to \"a\", 1 to \"b\"");
        let mut client = TcpStream::connect(addr).await.unwrap();
        let answer = read_all(&mut client).await;
        assert_eq!(first["upstream"].as_str().unwrap().as_bytes(), answer);
    }
    scene.end().await;
}
