//! Gateways, their routes and their policies: what clients see, and what the statuses say.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use serde_json::{Value, json};
use test_support::client_hello::asking_for;
use test_support::deadline::{eventually, within};
use test_support::streams::{self, answers, counts};
use test_support::tls::client_hello;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{Session, World, ask_until, echo, free_port, pods, service};

/// How many clients connect at a time.
const AT_ONCE: usize = 10;

const API: &str = "gateway.networking.k8s.io";

/// Metadata of an object of the second `second`.
pub(crate) fn metadata(name: &str, second: u8) -> Value {
    json!({"namespace": "default", "name": name, "generation": 1, "uid": format!("uid-{name}"),
        "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")})
}

impl World {
    /// Installs the definitions of the kinds, and the class `lb`.
    pub(crate) fn install_gateway_api(&self) {
        for kind in [
            "gatewayclasses",
            "gateways",
            "listenersets",
            "tcproutes",
            "tlsroutes",
            "referencegrants",
        ] {
            let annotations = json!({"gateway.networking.k8s.io/bundle-version": "v1.6.1"});
            let metadata = json!({"name": format!("{kind}.{API}"), "annotations": annotations});
            self.api
                .put("customresourcedefinitions", json!({"metadata": metadata}));
        }
        let metadata = json!({"name": "connectionpolicies.kube-lb.internal"});
        self.api
            .put("customresourcedefinitions", json!({"metadata": metadata}));
        self.api.put(
            "namespaces",
            json!({"metadata": {"name": "default", "labels": {}}}),
        );
        let class = json!({"metadata": {"name": "lb", "generation": 1},
            "spec": {"controllerName": "kube-lb.internal/gateway"}});
        self.api.put("gatewayclasses", class);
    }

    /// Creates the Gateway `gw` with these listeners.
    pub(crate) fn gateway(&self, listeners: &[Value]) {
        let spec = json!({"gatewayClassName": "lb", "listeners": listeners});
        self.api.put(
            "gateways",
            json!({"metadata": metadata("gw", 0), "spec": spec}),
        );
    }

    /// Creates or replaces a TCPRoute of the Gateway `gw`: Services, ports and weights.
    pub(crate) fn tcp_route(&self, name: &str, second: u8, backends: &[(&str, u16, u32)]) {
        let spec =
            json!({"parentRefs": [{"name": "gw"}], "rules": [{"backendRefs": refs(backends)}]});
        self.api.put(
            "tcproutes",
            json!({"metadata": metadata(name, second), "spec": spec}),
        );
    }

    pub(crate) fn tls_route(&self, name: &str, hostname: &str, backends: &[(&str, u16, u32)]) {
        let rules = json!([{"backendRefs": refs(backends)}]);
        let spec = json!({"parentRefs": [{"name": "gw"}], "hostnames": [hostname], "rules": rules});
        self.api.put(
            "tlsroutes",
            json!({"metadata": metadata(name, 1), "spec": spec}),
        );
    }

    /// Creates an object of each kind that has a status.
    pub(crate) fn put_every_gateway_kind(&self) {
        let port = 1;
        let spec = json!({"gatewayClassName": "lb", "listeners": [tcp("a", port)],
            "allowedListeners": {"namespaces": {"from": "Same"}}});
        self.api.put(
            "gateways",
            json!({"metadata": metadata("gw", 0), "spec": spec}),
        );
        let spec = json!({"parentRef": {"name": "gw"}, "listeners": [tcp("b", port + 1)]});
        self.api.put(
            "listenersets",
            json!({"metadata": metadata("set", 0), "spec": spec}),
        );
        self.tcp_route("tcp", 1, &[]);
        self.tls_route("tls", "a.test", &[]);
        let target = json!({"group": API, "kind": "Gateway", "name": "gw"});
        let policy = json!({"metadata": metadata("policy", 1), "spec": {"targetRefs": [target]}});
        self.api.put("connectionpolicies", policy);
    }

    /// Creates a Service that no load balancer of its own is for, with these pods.
    pub(crate) fn backend(&self, name: &str, pods: &[SocketAddr]) {
        let mut backend = service(name, &[80]);
        let spec = backend["spec"].as_object_mut().unwrap();
        spec.insert("type".into(), "ClusterIP".into());
        spec.remove("loadBalancerClass");
        self.api.put("services", backend);
        self.endpoints(name, &[80], pods);
    }

    /// The status and reason of a condition in a part of an object.
    fn said(&self, resource: &str, name: &str, part: &str, condition: &str) -> Option<String> {
        let namespace = if resource == "gatewayclasses" {
            ""
        } else {
            "default"
        };
        let object = self.api.find(resource, namespace, name)?;
        let conditions = object.pointer(part)?.get("conditions")?.as_array()?;
        let found = conditions.iter().find(|one| one["type"] == condition)?;
        Some(format!(
            "{} {}",
            found["status"].as_str()?,
            found["reason"].as_str()?
        ))
    }

    /// Waits until a condition in a part of an object says this.
    pub(crate) async fn says(
        &self,
        resource: &str,
        name: &str,
        part: &str,
        condition: &str,
        expected: &str,
    ) {
        let what = format!("{condition} of {resource} {name}: {expected}");
        eventually(&what, || {
            self.said(resource, name, part, condition).as_deref() == Some(expected)
        })
        .await;
    }
}

fn refs(backends: &[(&str, u16, u32)]) -> Value {
    let refs = backends
        .iter()
        .map(|(name, port, weight)| json!({"name": name, "port": port, "weight": weight}));
    refs.collect()
}

fn tcp(name: &str, port: u16) -> Value {
    json!({"name": name, "protocol": "TCP", "port": port})
}

#[tokio::test]
async fn connections_are_divided_exactly_by_weight_and_refused_in_proportion() {
    let world = World::start(80).await;
    let port = free_port().await;
    world.install_gateway_api();
    for (name, pod) in [("a", 1), ("b", 2), ("c", 3)] {
        world.backend(name, &pods([127, 3, 70 + pod], &[name]).await);
    }
    world.backend("empty", &[]);
    world.gateway(&[tcp("one", port)]);
    world.tcp_route("route", 1, &[("a", 80, 70), ("b", 80, 30), ("c", 80, 0)]);
    let running = world.run("").await;
    let addr = SocketAddr::new(world.ip(1), port);
    world
        .says("gateways", "gw", "/status", "Programmed", "True Programmed")
        .await;
    world
        .says(
            "tcproutes",
            "route",
            "/status/parents/0",
            "Accepted",
            "True Accepted",
        )
        .await;
    world
        .says(
            "gatewayclasses",
            "lb",
            "/status",
            "SupportedVersion",
            "True SupportedVersion",
        )
        .await;
    ask_until("the route", addr, |answer| {
        answer == Some("a") || answer == Some("b")
    })
    .await;
    assert_eq!(
        answers(addr, 500, AT_ONCE).await,
        counts(&[("a", 350), ("b", 150)])
    );

    // A Service that does not exist, one without pods, and one that works.
    world.tcp_route(
        "route",
        1,
        &[("a", 80, 5), ("gone", 80, 3), ("empty", 80, 2)],
    );
    world
        .says(
            "tcproutes",
            "route",
            "/status/parents/0",
            "ResolvedRefs",
            "False BackendNotFound",
        )
        .await;
    assert_eq!(
        answers(addr, 200, AT_ONCE).await,
        counts(&[("a", 100), ("refused", 100)])
    );

    // The Service is created: its share is served from then on.
    world.backend("gone", &pods([127, 3, 74], &["here"]).await);
    world
        .says(
            "tcproutes",
            "route",
            "/status/parents/0",
            "ResolvedRefs",
            "True ResolvedRefs",
        )
        .await;
    ask_until("the new Service", addr, |answer| answer == Some("here")).await;
    assert_eq!(
        answers(addr, 200, AT_ONCE).await,
        counts(&[("a", 100), ("here", 60), ("refused", 40)])
    );
    running.end().await;
}

/// What a client that asks for `name` receives.
async fn ask_for(addr: SocketAddr, name: &'static str) -> io::Result<String> {
    let answer = send(addr, &client_hello(name)).await?;
    Ok(String::from_utf8(answer).unwrap())
}

/// What a client that sends `bytes` receives.
async fn send(addr: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut client = TcpStream::connect(addr).await?;
    client.write_all(bytes).await?;
    client.shutdown().await?;
    let mut answer = Vec::new();
    within("an answer", client.read_to_end(&mut answer)).await?;
    Ok(answer)
}

#[tokio::test]
async fn clients_of_tls_get_the_route_of_the_name_that_they_ask_for() {
    let world = World::start(81).await;
    let port = free_port().await;
    world.install_gateway_api();
    for (name, pod) in [("exact", 1), ("wild", 2), ("deep", 3)] {
        world.backend(name, &pods([127, 3, 80 + pod], &[name]).await);
    }
    let listener = |name: &str, hostname: Option<&str>| json!({"name": name, "protocol": "TLS", "port": port, "hostname": hostname, "tls": {"mode": "Passthrough"}});
    world.gateway(&[listener("any", None), listener("own", Some("*.own.test"))]);
    world.tls_route("exact", "www.example.com", &[("exact", 80, 1)]);
    world.tls_route("wild", "*.example.com", &[("wild", 80, 1)]);
    world.tls_route("deep", "*.deep.example.com", &[("deep", 80, 1)]);
    world.backend("echo", &[echo([127, 3, 84, 1]).await]);
    world.tls_route("echo", "echo.test", &[("echo", 80, 1)]);
    let running = world.run("").await;
    let addr = SocketAddr::new(world.ip(1), port);
    for route in ["exact", "wild", "deep", "echo"] {
        world
            .says(
                "tlsroutes",
                route,
                "/status/parents/0",
                "kube-lb.internal/Serving",
                "True Serving",
            )
            .await;
    }
    assert_eq!(ask_for(addr, "www.example.com").await.unwrap(), "exact");
    assert_eq!(ask_for(addr, "WWW.Example.com").await.unwrap(), "exact");
    assert_eq!(ask_for(addr, "a.b.example.com").await.unwrap(), "wild");
    assert_eq!(ask_for(addr, "deep.example.com").await.unwrap(), "wild");
    assert_eq!(ask_for(addr, "a.b.deep.example.com").await.unwrap(), "deep");
    // The TLS is passed on byte by byte.
    let hello = client_hello("echo.test");
    assert_eq!(send(addr, &hello).await.unwrap(), hello);
    for unknown in ["example.com", "other.test", "a.own.test"] {
        // The reset may come before the client has ended its side.
        assert!(ask_for(addr, unknown).await.is_err(), "{unknown}");
    }
    for nameless in [
        &asking_for("")[..],
        b"GET / HTTP/1.1\r\nhost: www.example.com\r\n\r\n",
    ] {
        assert!(send(addr, nameless).await.is_err());
    }
    running.end().await;
}

/// A pod that answers with its name until it is killed.
struct Pod {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Pod {
    async fn start(ip: [u8; 4], port: u16, name: &'static str) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((ip, port)))
            .await
            .unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    stream.write_all(name.as_bytes()).await?;
                    stream.shutdown().await?;
                    stream.read_to_end(&mut Vec::new()).await
                });
            }
        });
        Self { addr, task }
    }
}

#[tokio::test]
async fn no_connection_fails_while_the_pods_of_a_route_are_replaced_one_by_one() {
    let world = World::start(82).await;
    let port = free_port().await;
    world.install_gateway_api();
    let mut serving = Vec::new();
    for last in 1..=3 {
        let pod_port = serving.first().map_or(0, |pod: &Pod| pod.addr.port());
        serving.push(Pod::start([127, 3, 90, last], pod_port, "old").await);
    }
    let addrs = |pods: &[Pod]| pods.iter().map(|pod| pod.addr).collect::<Vec<_>>();
    world.backend("web", &addrs(&serving));
    world.gateway(&[tcp("one", port)]);
    world.tcp_route("route", 1, &[("web", 80, 1)]);
    let running = world.run("").await;
    let addr = SocketAddr::new(world.ip(1), port);
    ask_until("the route", addr, |answer| answer == Some("old")).await;

    let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
        clients.spawn(async move {
            while !stop.load(Relaxed) {
                let answer = streams::ask(addr).await.expect("an answer");
                assert!(answer == "old" || answer == "new", "{answer:?}");
                served.fetch_add(1, Relaxed);
            }
        });
    }
    let pod_port = serving[0].addr.port();
    for step in 1..=3 {
        // The new pod is ready; the old one leaves the endpoints, and ends after its clients have gone elsewhere.
        serving.push(Pod::start([127, 3, 90, 10 + step], pod_port, "new").await);
        let old = serving.remove(0);
        world.endpoints("web", &[80], &addrs(&serving));
        let expected = usize::from(step);
        within("the change of the endpoints", async {
            // Turns are exact, so of three connections in a row as many are new as there are new pods, once the set has changed.
            let mut in_a_row = 0;
            while in_a_row < 5 {
                let mut new = 0;
                for _ in 0..30 {
                    new += usize::from(streams::ask(addr).await.unwrap() == "new");
                }
                in_a_row = if new.abs_diff(expected * 10) <= 4 {
                    in_a_row + 1
                } else {
                    0
                };
            }
        })
        .await;
        old.task.abort();
    }
    ask_until("the new pods", addr, |answer| answer == Some("new")).await;
    let before = served.load(Relaxed);
    eventually("more answers", || served.load(Relaxed) > before + 50).await;
    stop.store(true, Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert_eq!(answers(addr, 30, AT_ONCE).await, counts(&[("new", 30)]));
    running.end().await;
}

#[tokio::test]
async fn changes_of_routes_touch_no_open_session_and_a_removed_gateway_refuses() {
    let world = World::start(83).await;
    let port = free_port().await;
    world.install_gateway_api();
    world.backend("echo", &[echo([127, 3, 93, 1]).await]);
    world.backend("other", &pods([127, 3, 94], &["other"]).await);
    world.gateway(&[tcp("one", port)]);
    world.tcp_route("route", 5, &[("echo", 80, 1)]);
    let running = world.run("").await;
    let addr = SocketAddr::new(world.ip(1), port);
    world
        .says(
            "tcproutes",
            "route",
            "/status/parents/0",
            "kube-lb.internal/Serving",
            "True Serving",
        )
        .await;
    let mut session = Session::open(addr).await;
    // An older route takes the listener over. The first one is told.
    world.tcp_route("older", 1, &[("other", 80, 1)]);
    let route = ("tcproutes", "route", "/status/parents/0");
    world
        .says(
            route.0,
            route.1,
            route.2,
            "kube-lb.internal/Serving",
            "False Superseded",
        )
        .await;
    world
        .says(route.0, route.1, route.2, "Accepted", "True Accepted")
        .await;
    assert_eq!(streams::ask(addr).await.unwrap(), "other");
    session.check().await;
    world.api.delete("gateways", "default", "gw");
    within("the end of the listener", async {
        while TcpStream::connect(addr).await.is_ok() {}
    })
    .await;
    session.check().await;
    // Entries of a parent that is gone are cleaned up.
    eventually("a status without the parent", || {
        let route = world.api.get("tcproutes", "default", "route");
        route["status"]["parents"] == json!([])
    })
    .await;
    drop(session);
    running.end().await;
}

#[tokio::test]
async fn a_policy_sends_backends_the_address_of_the_client() {
    let world = World::start(84).await;
    let port = free_port().await;
    world.install_gateway_api();
    let backend = TcpListener::bind("127.3.95.1:0").await.unwrap();
    world.backend("web", &[backend.local_addr().unwrap()]);
    world.gateway(&[tcp("one", port)]);
    world.tcp_route("route", 1, &[("web", 80, 1)]);
    let target = json!({"group": API, "kind": "TCPRoute", "name": "route"});
    let policy = json!({"metadata": metadata("policy", 1),
        "spec": {"targetRefs": [target], "proxyProtocol": "v1", "sourceRanges": ["127.0.0.1/32"]}});
    world.api.put("connectionpolicies", policy);
    let running = world.run("").await;
    let addr = SocketAddr::new(world.ip(1), port);
    world
        .says(
            "connectionpolicies",
            "policy",
            "/status/ancestors/0",
            "Accepted",
            "True Accepted",
        )
        .await;
    let client = TcpStream::connect(addr).await.unwrap();
    let from = client.local_addr().unwrap();
    let (mut stream, _) = within("a connection", backend.accept()).await.unwrap();
    let expected = format!(
        "PROXY TCP4 {} {} {} {port}\r\n",
        from.ip(),
        addr.ip(),
        from.port()
    );
    let mut header = vec![0; expected.len()];
    within("the header", stream.read_exact(&mut header))
        .await
        .unwrap();
    assert_eq!(String::from_utf8(header).unwrap(), expected);
    drop((client, stream));
    running.end().await;
}

#[tokio::test]
async fn a_cluster_without_the_kinds_serves_services() {
    let world = World::start(85).await;
    let port = free_port().await;
    world.serve("web", &[port], &pods([127, 3, 96], &["a"]).await);
    let running = world.run("").await;
    eventually("the Service", || world.is_served("web")).await;
    assert_eq!(world.api.watches("gateways"), 0);
    running.end().await;
}

#[tokio::test]
async fn events_tell_what_goes_wrong_with_gateways_and_routes_and_what_is_solved() {
    let world = World::start(86).await;
    let port = free_port().await;
    world.install_gateway_api();
    world.gateway(&[
        tcp("one", port),
        json!({"name": "web", "protocol": "HTTP", "port": 1}),
    ]);
    world.tcp_route("route", 1, &[("late", 80, 1)]);
    let running = world.run("").await;
    let told = |kind: &str, type_: &str, reason: &str| {
        let events = world.api.all("events").into_iter();
        let found = events.filter(|event| {
            let regarding = &event["regarding"];
            let api = regarding["apiVersion"] == format!("{API}/v1");
            api && regarding["kind"] == kind && event["type"] == type_ && event["reason"] == reason
        });
        found
            .map(|event| event["note"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    eventually("an Event about the listener", || {
        let notes = told("Gateway", "Warning", "UnsupportedProtocol");
        notes
            .iter()
            .any(|note| note.starts_with("listener web: the protocol \"HTTP\""))
    })
    .await;
    eventually("an Event about the route", || {
        let notes = told("TCPRoute", "Warning", "BackendNotFound");
        notes.len() == 1 && notes[0].starts_with("Gateway gw: connections of these backends")
    })
    .await;
    world.backend("late", &pods([127, 3, 97], &["a"]).await);
    eventually("an Event about the solution", || {
        told("TCPRoute", "Normal", "ResolvedRefs") == ["Gateway gw: ResolvedRefs is True"]
    })
    .await;
    // What was never wrong needs none, and nothing is told twice.
    assert_eq!(told("GatewayClass", "Normal", "Accepted").len(), 0);
    assert_eq!(told("TCPRoute", "Warning", "BackendNotFound").len(), 1);
    running.end().await;
}

/// Pearson's statistic of counts, and what is expected of them.
fn chi_square(counts: &[(usize, f64)]) -> f64 {
    let terms = counts
        .iter()
        .map(|(seen, expected)| (*seen as f64 - expected).powi(2) / expected);
    terms.sum()
}

#[tokio::test]
async fn each_kind_of_unusable_backend_is_refused_in_proportion_to_its_weight() {
    const CLIENTS: usize = 500;
    /// The value that a sum of five squares exceeds with a probability of 0.001.
    const LIMIT: f64 = 20.5;
    let world = World::start(87).await;
    world.install_gateway_api();
    world.backend("a", &pods([127, 3, 98], &["a"]).await);
    world.backend("empty", &[]);
    // Exists, but the route may not refer to it.
    let mut red = service("red", &[80]);
    red["metadata"]["namespace"] = json!("red");
    red["spec"]["type"] = json!("ClusterIP");
    world.api.put("services", red);
    let reference = |name: &str, namespace: &str, port: u16, weight: u16| json!({"name": name, "namespace": namespace, "port": port, "weight": weight});
    let causes = [
        ("gone", "default", 80, "BackendNotFound"),
        ("a", "default", 81, "BackendNotFound"),
        ("red", "red", 80, "RefNotPermitted"),
        ("empty", "default", 80, "ResolvedRefs"),
    ];
    let mut ports = Vec::new();
    for _ in 0..=causes.len() {
        ports.push(free_port().await);
    }
    let sections: Vec<String> = (0..causes.len()).map(|i| format!("l{i}")).collect();
    let mut listeners: Vec<Value> = sections
        .iter()
        .zip(&ports)
        .map(|(name, port)| tcp(name, *port))
        .collect();
    let names = ports[causes.len()];
    listeners.push(
        json!({"name": "tls", "protocol": "TLS", "port": names, "tls": {"mode": "Passthrough"}}),
    );
    world.gateway(&listeners);
    for (section, (name, namespace, port, _)) in sections.iter().zip(causes) {
        let parents = json!([{"name": "gw", "sectionName": section}]);
        let refs = json!([
            reference("a", "default", 80, 1),
            reference(name, namespace, port, 4)
        ]);
        let spec = json!({"parentRefs": parents, "rules": [{"backendRefs": refs}]});
        world.api.put(
            "tcproutes",
            json!({"metadata": metadata(section, 1), "spec": spec}),
        );
    }
    world.tls_route("names", "www.test", &[("a", 80, 1), ("gone", 80, 4)]);
    let running = world.run("").await;
    let ip = world.ip(1);
    let expected = [CLIENTS as f64 / 5.0, CLIENTS as f64 * 4.0 / 5.0];
    let mut sum = 0.0;
    for (section, ((name, .., reason), port)) in sections.iter().zip(causes.iter().zip(&ports)) {
        let status = if *reason == "ResolvedRefs" {
            "True"
        } else {
            "False"
        };
        let resolved = format!("{status} {reason}");
        let part = "/status/parents/0";
        world
            .says("tcproutes", section, part, "ResolvedRefs", &resolved)
            .await;
        let addr = SocketAddr::new(ip, *port);
        ask_until("the route", addr, |answer| answer == Some("a")).await;
        let seen = answers(addr, CLIENTS, AT_ONCE).await;
        let count = |answer: &str| seen.get(answer).copied().unwrap_or_default();
        assert_eq!(count("a") + count("refused"), CLIENTS, "{seen:?}");
        let chi = chi_square(&[(count("a"), expected[0]), (count("refused"), expected[1])]);
        println!("{name}: {seen:?}, chi-square {chi:.3}");
        sum += chi;
    }
    let addr = SocketAddr::new(ip, names);
    within("the names", async {
        while ask_for(addr, "www.test").await.is_err() {}
    })
    .await;
    let mut served = 0;
    for _ in 0..CLIENTS {
        // A refusal may come before the client has ended its side.
        served += usize::from(ask_for(addr, "www.test").await.is_ok_and(|got| got == "a"));
    }
    let chi = chi_square(&[(served, expected[0]), (CLIENTS - served, expected[1])]);
    println!("TLS: {served} of {CLIENTS} served, chi-square {chi:.3}");
    sum += chi;
    println!("chi-square of all: {sum:.3}, limit {LIMIT}");
    assert!(sum < LIMIT, "{sum}");
    running.end().await;
}
