//! Readiness, metrics, and a cluster that shows only a part of its objects.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Stdio};

use lb_proxy::reports::Phase;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use test_support::deadline::{eventually, poll_until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::command_line::{config_file, kube_lb, output, text};
use crate::support::{World, ask, ask_until, free_port, pods};

/// The answer to a GET of `path`: the status line, and all of it.
async fn get(admin: SocketAddr, path: &str) -> Option<String> {
    within("an answer of the admin server", async {
        let mut stream = TcpStream::connect(admin).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    })
    .await
}

/// Asks until the answer contains `expected`.
async fn get_until(admin: SocketAddr, path: &str, expected: &str) -> String {
    poll_until(expected, || async {
        let answer = get(admin, path).await?;
        answer.contains(expected).then_some(answer)
    })
    .await
}

async fn file_says(path: &Path, expected: &str) {
    eventually(&format!("{} says {expected}", path.display()), || {
        std::fs::read_to_string(path).is_ok_and(|found| found.trim_end() == expected)
    })
    .await;
}

fn terminate(child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}

#[tokio::test]
async fn readiness_is_reported_to_a_file_to_systemd_and_by_readyz() {
    let world = World::start(110).await;
    let (port, admin) = (free_port().await, free_port().await);
    let admin = SocketAddr::from(([127, 0, 0, 1], admin));
    world.serve("web", &[port], &pods([127, 2, 110], &["a"]).await);
    // Services cannot be listed yet.
    world.api.forbid("services");
    let file = world.dir.path().join("ready");
    let socket = world.dir.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_nonblocking(true).unwrap();
    let more = format!(
        "admin: {admin}\nwithdraw_delay: 3s\nready_file: {{path: {}, leaving: -60}}",
        file.display()
    );
    let config = config_file(&world, &more);
    let mut child = kube_lb(&["run", "--config", &config])
        .env("NOTIFY_SOCKET", &socket)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let not_listed = "the objects of the cluster are not listed yet";
    let answer = get_until(admin, "/readyz", not_listed).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    file_says(&file, "-254").await;
    world.api.permit("services");
    let answer = get_until(admin, "/readyz", "200 OK").await;
    assert!(!answer.contains(not_listed), "{answer}");
    file_says(&file, "0").await;
    ask_until("the Service", (world.ip(1), port).into(), |answer| {
        answer == Some("a")
    })
    .await;
    terminate(&child);
    // Until the process ends, and after. Clients that come before the traffic has moved are served.
    file_says(&file, "-60").await;
    assert_eq!(ask((world.ip(1), port).into()).await.as_deref(), Some("a"));
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert!(within("the end", ended).await.unwrap().success());
    file_says(&file, "-60").await;
    let mut told = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = systemd.recv(&mut buffer) {
        let lines = std::str::from_utf8(&buffer[..length]).unwrap();
        told.extend(lines.lines().map(str::to_owned));
    }
    let position = |line: &str| told.iter().position(|told| told == line);
    let waits = format!("STATUS=not ready: {not_listed}");
    let order = ["READY=1", &waits, "STATUS=ready", "STOPPING=1"].map(position);
    assert!(order.iter().all(Option::is_some), "{told:?}");
    assert!(order[1] < order[2] && order[2] < order[3], "{told:?}");
}

#[tokio::test]
async fn endpoints_are_followed_while_the_process_withdraws() {
    let world = World::start(117).await;
    let port = free_port().await;
    let pods = pods([127, 2, 117], &["a", "b", "c"]).await;
    world.serve("web", &[port], &pods[..1]);
    let running = world.run("withdraw_delay: 60s").await;
    let addr = (world.ip(1), port).into();
    ask_until("the Service", addr, |answer| answer == Some("a")).await;
    eventually("the status", || world.is_served("web")).await;
    running.stop.cancel();
    within(
        "the beginning of the end",
        running.handle.reached(Phase::Leaving),
    )
    .await;
    let before = world.api.requests().len();
    for (number, name) in [(1, "b"), (2, "c")] {
        world.endpoints("web", &[port], &pods[number..=number]);
        ask_until(name, addr, |answer| answer == Some(name)).await;
    }
    // It no longer writes.
    let requests = world.api.requests();
    let mut requests = requests[before..].iter();
    assert!(requests.all(|request| request.method == "GET"));
}

#[tokio::test]
async fn a_machine_that_can_listen_nowhere_is_not_ready() {
    let world = World::start(111).await;
    let (port, admin) = (free_port().await, free_port().await);
    let admin = SocketAddr::from(([127, 0, 0, 1], admin));
    world.serve("web", &[port], &[]);
    let first = std::net::TcpListener::bind((world.ip(1), port)).unwrap();
    let config = config_file(&world, &format!("admin: {admin}"));
    let mut child = kube_lb(&["run", "--config", &config])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let problem = "none of 1 addresses and ports can be listened on";
    get_until(admin, "/readyz", problem).await;
    get_until(admin, "/metrics", "kube_lb_listeners{state=\"refused\"} 1").await;
    drop(first);
    get_until(admin, "/readyz", "200 OK").await;
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn metrics_show_the_controller_and_join_names_to_the_proxys() {
    let world = World::start(112).await;
    let (port, routed, admin) = (free_port().await, free_port().await, free_port().await);
    let admin = SocketAddr::from(([127, 0, 0, 1], admin));
    world.serve("web", &[port], &pods([127, 2, 112], &["a"]).await);
    world.install_gateway_api();
    world.backend("inner", &pods([127, 2, 113], &["b"]).await);
    world.gateway(&[json!({"name": "one", "protocol": "TCP", "port": routed})]);
    world.tcp_route("route", 1, &[("inner", 80, 1)]);
    let more = format!("admin: {admin}\nlease: {{namespace: kube-lb, duration: 3s}}");
    let config = config_file(&world, &more);
    let mut child = kube_lb(&["run", "--config", &config])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the Service", || world.is_served("web")).await;
    for (ip, port, name) in [(1, port, "a"), (2, routed, "b")] {
        let addr = SocketAddr::new(world.ip(ip), port);
        ask_until(name, addr, |answer| answer == Some(name)).await;
    }
    let ip = |last| world.ip(last);
    let (one, two) = (ip(1), ip(2));
    for line in [
        "kube_lb_leader 1".to_owned(),
        "kube_lb_leaderships_total 1".to_owned(),
        "kube_lb_watch_listed{kind=\"endpointslices\"} 1".to_owned(),
        "kube_lb_watch_stale_seconds{kind=\"tcproutes\"} 0".to_owned(),
        "kube_lb_objects{kind=\"services\"} 2".to_owned(),
        "kube_lb_listeners{state=\"listening\"} 2".to_owned(),
        "kube_lb_writes_total{kind=\"services\",result=\"refused\"} 0".to_owned(),
        format!(
            "kube_lb_listener_info{{listener=\"{one}:{port}\",kind=\"Service\",namespace=\"default\",name=\"web\",part=\"port {port} (p{port})\"}} 1"
        ),
        format!("lb_listener_sessions_accepted_total{{listener=\"{one}:{port}\"}} "),
        format!(
            "kube_lb_route_info{{listener=\"{two}:{routed}\",kind=\"TCPRoute\",namespace=\"default\",name=\"route\"}} 1"
        ),
        "kube_lb_upstream_info{upstream=\"default/inner:80 of routes\",namespace=\"default\",service=\"inner\",port=\"80\"} 1".to_owned(),
        "lb_upstream_sessions_total{upstream=\"default/inner:80 of routes\"} ".to_owned(),
        "process_open_fds ".to_owned(),
    ] {
        get_until(admin, "/metrics", &line).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_kind_that_may_not_be_read_holds_back_nothing_else() {
    let world = World::start(114).await;
    let port = free_port().await;
    world.serve("web", &[port], &pods([127, 2, 114], &["a"]).await);
    world.install_gateway_api();
    world.api.forbid("tcproutes");
    let config = config_file(&world, "");
    let plan = output(&["run", "--plan", "--config", &config]).await;
    let printed = text(&plan.stdout);
    assert!(printed.contains("for Service default/web"), "{printed}");
    assert!(
        printed.contains("problem: tcproutes may not be read: "),
        "{printed}"
    );
    let running = world.run("").await;
    let addr = SocketAddr::new(world.ip(1), port);
    ask_until("the Service", addr, |answer| answer == Some("a")).await;
    let kind = |name: &str| {
        let mut kinds = running.metrics.watches().kinds().into_iter();
        kinds.find(|kind| kind.kind == name).unwrap()
    };
    let routes = kind("tcproutes");
    assert!(routes.is_denied && !routes.is_listed);
    let problem = routes.problem.unwrap();
    assert!(problem.contains("grant list and watch"), "{problem}");
    assert!(kind("services").is_listed);
    // The right is granted.
    world.api.permit("tcproutes");
    world.backend("inner", &pods([127, 2, 115], &["b"]).await);
    let routed = free_port().await;
    world.gateway(&[json!({"name": "one", "protocol": "TCP", "port": routed})]);
    world.tcp_route("route", 1, &[("inner", 80, 1)]);
    let addr = SocketAddr::new(world.ip(2), routed);
    ask_until("the route", addr, |answer| answer == Some("b")).await;
    running.end().await;
}

#[tokio::test]
async fn a_cluster_without_anything_to_serve_is_ready() {
    let world = World::start(116).await;
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port().await));
    let config = config_file(&world, &format!("admin: {admin}"));
    let mut child = kube_lb(&["run", "--config", &config])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    get_until(admin, "/readyz", "200 OK").await;
    child.kill().unwrap();
    child.wait().unwrap();
}
