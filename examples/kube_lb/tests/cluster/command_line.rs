//! The binary.

use std::process::{Command, Output, Stdio};

use serde_json::json;
use test_support::deadline::eventually;

use crate::gateway::metadata;
use crate::support::{World, ask_until, free_port, pods, service};

pub(crate) fn kube_lb(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kube_lb"));
    command.args(arguments);
    command
}

/// Runs a command to its end without blocking the API server, which runs in this thread.
pub(crate) async fn output(arguments: &[&str]) -> Output {
    let mut command = kube_lb(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn config_file(world: &World, more: &str) -> String {
    let path = world.dir.path().join("kube_lb.yaml");
    std::fs::write(&path, world.config_text(more)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn plan_and_explain_say_what_would_be_served_and_change_nothing() {
    let world = World::start(70).await;
    let pods = pods([127, 2, 70], &["a"]).await;
    world.serve("web", &[81], &pods);
    let mut late = service("late", &[81]);
    late["metadata"]["annotations"] =
        json!({"kube-lb.internal/addresses": "10.0.0.1", "kube-lb.internal/policy": "none"});
    world.api.put("services", late);
    let mut inner = service("inner", &[81]);
    inner["spec"]["type"] = json!("ClusterIP");
    world.api.put("services", inner);
    let config = config_file(&world, "");
    let plan = output(&["run", "--plan", "--config", &config]).await;
    let printed = text(&plan.stdout);
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    let ip = world.ip(1);
    assert!(printed.starts_with(&format!("listen {ip}:81 for Service default/web, port 81 (p81): default/web:81\nupstream default/web:81 ")), "{printed}");
    assert!(
        printed.contains(
            "problem of Service default/late: the requested address 10.0.0.1 is in no pool\n"
        ),
        "{printed}"
    );
    assert!(
        printed.contains(
            "problem of Service default/late: kube-lb.internal/policy: no policy is called \"none\""
        ),
        "{printed}"
    );

    let explain =
        async |name: &str| output(&["explain", "service", name, "--config", &config]).await;
    let web = text(&explain("default/web").await.stdout);
    let pod = pods[0];
    assert!(
        web.contains(&format!(
            "address {ip} of the pool \"edge\": its status does not have it yet"
        )),
        "{web}"
    );
    assert!(
        web.contains(&format!(
            "{pod} {pod} on node node-127.2.70.1, weight 1, Ready"
        )),
        "{web}"
    );
    let inner = text(&explain("default/inner").await.stdout);
    assert_eq!(
        inner,
        "Service default/inner is not served: its type is ClusterIP, and only Services of type LoadBalancer are served\n"
    );
    let missing = explain("default/missing").await;
    assert_eq!(
        text(&missing.stderr),
        "kube_lb: there is no Service default/missing\n"
    );
    assert!(!missing.status.success());
    let writes = world
        .api
        .requests()
        .into_iter()
        .filter(|request| request.method != "GET");
    assert_eq!(writes.count(), 0);
}

#[tokio::test]
async fn errors_name_the_place() {
    let world = World::start(71).await;
    let config = config_file(&world, "workerz: 1");
    let failed = output(&["run", "--config", &config]).await;
    assert!(!failed.status.success());
    assert!(
        text(&failed.stderr).contains("workerz"),
        "{}",
        text(&failed.stderr)
    );
    let missing = output(&["run", "--config", "/nonexistent/kube_lb.yaml"]).await;
    assert!(
        text(&missing.stderr).starts_with("kube_lb: cannot read /nonexistent/kube_lb.yaml: "),
        "{}",
        text(&missing.stderr)
    );
    world.api.forbid("services");
    let config = config_file(&world, "");
    let forbidden = output(&["run", "--plan", "--config", &config]).await;
    assert!(
        text(&forbidden.stderr).contains("403 Forbidden"),
        "{}",
        text(&forbidden.stderr)
    );
}

#[tokio::test]
async fn the_process_serves_until_sigterm() {
    let world = World::start(72).await;
    let port = free_port().await;
    world.serve("web", &[port], &pods([127, 2, 72], &["a"]).await);
    let config = config_file(&world, "");
    let child = kube_lb(&["run", "--config", &config])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    ask_until("the process", (world.ip(1), port).into(), |answer| {
        answer == Some("a")
    })
    .await;
    eventually("the status", || world.is_served("web")).await;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
        .await
        .unwrap();
    assert!(ended.status.success());
    assert!(
        text(&ended.stderr).contains("Shut down"),
        "{}",
        text(&ended.stderr)
    );
    // The Service keeps its address for the next process.
    assert_eq!(world.addresses("web"), [world.ip(1).to_string()]);
}

#[tokio::test]
async fn a_leader_that_is_stopped_writes_nothing_after_its_lease() {
    let world = World::start(73).await;
    let port = free_port().await;
    let pods = pods([127, 2, 73], &["a"]).await;
    world.serve("web", &[port], &pods);
    let config = config_file(
        &world,
        "lease: {namespace: kube-lb, duration: 3s, identity: one}",
    );
    let mut child = kube_lb(&["run", "--config", &config])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    eventually("the status", || world.is_served("web")).await;
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    // Another replica takes the Lease, once the stopped one has not renewed it for 3 s.
    let more = "lease: {namespace: kube-lb, duration: 3s, identity: two}\nmax_ports: 1";
    let other = world.run(more).await;
    let holder =
        || world.api.get("leases", "kube-lb", "kube-lb")["spec"]["holderIdentity"].to_string();
    eventually("the other leader", || holder().contains("two_")).await;
    let before = world.api.requests().len();
    // The stopped one would write about this as soon as it goes on.
    world.serve("late", &[port, free_port().await], &pods);
    eventually("the late Service", || {
        world.condition("late", "Serving").is_some()
    })
    .await;
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    // It asks for the Lease once it goes on. The API server knows both by the address of their connections only, so each write must be
    // one that the other replica has reason for: none changes what it wrote.
    let version = world.service("late")["metadata"]["resourceVersion"].clone();
    let looks = || {
        world.api.requests()[before..]
            .iter()
            .filter(|request| request.path.ends_with("/leases/kube-lb") && request.method == "GET")
            .count()
    };
    let seen = looks();
    eventually("looks at the Lease", || looks() >= seen + 6).await;
    assert_eq!(
        world.service("late")["metadata"]["resourceVersion"],
        version
    );
    assert_eq!(
        world.condition("late", "Serving").unwrap()["reason"],
        "TooManyPorts"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    other.end().await;
}

#[tokio::test]
async fn explain_says_what_gateways_listener_sets_and_routes_do_and_lack() {
    let world = World::start(74).await;
    world.install_gateway_api();
    world.api.put(
        "gateways",
        json!({"metadata": metadata("gw", 0), "spec": {
            "gatewayClassName": "lb",
            "allowedListeners": {"namespaces": {"from": "Same"}},
            "listeners": [
                {"name": "one", "protocol": "TCP", "port": 81},
                {"name": "web", "protocol": "HTTP", "port": 82},
            ],
        }}),
    );
    world.api.put(
        "listenersets",
        json!({"metadata": metadata("more", 0), "spec": {
            "parentRef": {"name": "gw"},
            "listeners": [{"name": "tls", "protocol": "TLS", "port": 83, "tls": {"mode": "Passthrough"}}],
        }}),
    );
    world.api.put(
        "gateways",
        json!({"metadata": metadata("other", 0),
            "spec": {"gatewayClassName": "nginx", "listeners": []}}),
    );
    let pods = pods([127, 2, 74], &["a"]).await;
    world.backend("a", &pods);
    world.tcp_route("route", 1, &[("a", 80, 7), ("gone", 80, 3)]);
    world.tcp_route("late", 2, &[("a", 80, 1)]);
    let set = json!([{"name": "more", "kind": "ListenerSet"}]);
    let rules = json!([{"backendRefs": [{"name": "a", "port": 80}]}]);
    let spec = json!({"parentRefs": set, "hostnames": ["www.test"], "rules": rules});
    world.api.put(
        "tlsroutes",
        json!({"metadata": metadata("names", 1), "spec": spec}),
    );
    let config = config_file(&world, "");
    let explain = async |kind: &str, name: &str| {
        let output = output(&["explain", kind, name, "--config", &config]).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let (ip, pod) = (world.ip(1), pods[0]);
    let gateway = explain("gateway", "default/gw").await;
    assert_eq!(
        gateway,
        format!(
            "Gateway default/gw of the class lb\n  \
             address {ip} of the pool \"edge\": its status does not have it yet\n  \
             note: Accepted: some listeners are not accepted. web: the protocol \"HTTP\" is not supported: use TCP, or TLS with tls.mode Passthrough\n  \
             listener one, TCP port 81\n    \
             listen {ip}:81: 7 x default/a:80 of routes, 3 x refused (Service default/gone does not exist)\n    \
             TCPRoute default/route is attached, and gets its connections\n    \
             TCPRoute default/late is attached, and gets no connection: others have precedence\n  \
             listener web, HTTP port 82\n    \
             problem: Accepted: UnsupportedProtocol: the protocol \"HTTP\" is not supported: use TCP, or TLS with tls.mode Passthrough\n    \
             problem: Programmed: Invalid: the protocol \"HTTP\" is not supported: use TCP, or TLS with tls.mode Passthrough\n  \
             ListenerSet default/more\n    \
             listener tls, TLS port 83\n      \
             listen {ip}:83: www.test -> default/a:80 of routes; other names are refused\n      \
             TLSRoute default/names is attached, and gets its connections\n"
        )
    );
    let set = explain("listenerset", "default/more").await;
    assert!(
        set.starts_with("ListenerSet default/more of the Gateway default/gw\n  listener tls, "),
        "{set}"
    );
    let route = explain("tcproute", "default/route").await;
    assert_eq!(
        route,
        format!(
            "TCPRoute default/route\n  \
             parent Gateway gw\n    \
             problem: ResolvedRefs: BackendNotFound: connections of these backends are refused: Service default/gone does not exist\n    \
             listener one, at {ip}:81\n  \
             weight 7: default/a:80 of routes\n  \
             weight 3: refused: Service default/gone does not exist\n  \
             upstream default/a:80 of routes the pods of default/a:80, policy weighted_round_robin\n    \
             {pod} {pod} on node node-{pod_ip}, weight 1, Ready\n",
            pod_ip = pod.ip()
        )
    );
    let late = explain("tcproute", "default/late").await;
    let lost = "problem: kube-lb.internal/Serving: Superseded: no connection gets to this route: on the listener one TCPRoute default/route has precedence\n";
    assert!(late.contains(lost), "{late}");
    let names = explain("tlsroute", "default/names").await;
    assert!(names.contains("parent ListenerSet more\n"), "{names}");
    assert_eq!(
        explain("gateway", "default/other").await,
        "Gateway default/other is not served: no GatewayClass nginx has the controllerName \"kube-lb.internal/gateway\"\n"
    );
    // The plan has the problems of all of them.
    let plan = text(&output(&["run", "--plan", "--config", &config]).await.stdout);
    for line in [
        format!("listen {ip}:81 for Gateway default/gw, listener one, TCPRoute default/route: 7 x default/a:80 of routes, 3 x refused (Service default/gone does not exist)\n"),
        "problem of Gateway default/gw, listener web: Accepted: UnsupportedProtocol: ".to_owned(),
        "problem of TCPRoute default/route, parent Gateway gw: ResolvedRefs: BackendNotFound: ".to_owned(),
        "problem of TCPRoute default/late, parent Gateway gw: kube-lb.internal/Serving: Superseded: ".to_owned(),
    ] {
        assert!(plan.contains(&line), "{line}: {plan}");
    }
    // Text of objects does not control the terminal.
    let listener = json!({"name": "a", "protocol": "X\u{1b}[2J\nlisten", "port": 1});
    world.api.put(
        "gateways",
        json!({"metadata": metadata("hostile", 0),
            "spec": {"gatewayClassName": "lb", "listeners": [listener]}}),
    );
    let hostile = explain("gateway", "default/hostile").await;
    assert!(hostile.contains("X\\u{1b}[2J\\nlisten port 1"), "{hostile}");
    let plan = text(&output(&["run", "--plan", "--config", &config]).await.stdout);
    for printed in [hostile, plan] {
        assert!(!printed.contains('\u{1b}'), "{printed}");
    }
    let missing = output(&["explain", "tlsroute", "default/x", "--config", &config]).await;
    assert_eq!(
        text(&missing.stderr),
        "kube_lb: there is no TLSRoute default/x\n"
    );
    let unnamed = output(&["explain", "gateway", "x", "--config", &config]).await;
    assert!(text(&unnamed.stderr).contains("NAMESPACE/NAME"));
}
