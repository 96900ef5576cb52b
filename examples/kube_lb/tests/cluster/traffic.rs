//! Traffic of clients.

use std::net::SocketAddr;

use serde_json::json;
use test_support::deadline::{eventually, poll_until, within};
use test_support::kubernetes::objects::node;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Session, World, ask, ask_until, echo, free_port, pods, service};

#[tokio::test]
async fn sessions_survive_changes_of_other_ports_and_services() {
    let world = World::start(20).await;
    let ports = [free_port().await, free_port().await, free_port().await];
    let pod = echo([127, 2, 20, 1]).await;
    world.serve("web", &ports[..1], &[pod]);
    let running = world.run("").await;
    let addr = SocketAddr::new(world.ip(1), ports[0]);
    eventually("the Service", || world.is_served("web")).await;
    let mut session = Session::open(addr).await;
    // A second port, another Service, settings, and back.
    world.serve("web", &ports[..2], &[pod]);
    world.api.change("services", "default", "web", |service| {
        service["metadata"]["annotations"] =
            json!({"kube-lb.internal/policy": "p2c", "kube-lb.internal/client-sessions": "5"});
    });
    world.serve("other", &ports, &[pod]);
    eventually("the other Service", || world.is_served("other")).await;
    ask_open(SocketAddr::new(world.ip(1), ports[1])).await;
    session.check().await;
    world.api.change("services", "default", "web", |service| {
        service["spec"]["ports"].as_array_mut().unwrap().pop();
    });
    let second = SocketAddr::new(world.ip(1), ports[1]);
    poll_until("the end of the second port", || async {
        TcpStream::connect(second).await.err()
    })
    .await;
    session.check().await;
    let mut fifth = Session::open(addr).await;
    fifth.check().await;
    drop((session, fifth));
    running.end().await;
}

#[tokio::test]
async fn a_target_port_or_a_protocol_that_changes_touches_no_other_port() {
    let world = World::start(27).await;
    let ports = [free_port().await, free_port().await];
    // The servers of one pod.
    let network = [127, 2, 27];
    let pod = echo([127, 2, 27, 1]).await;
    let [first, other] = [["first"], ["other"]];
    let first = pods(network, &first).await[0];
    let other = pods(network, &other).await[0];
    world.serve("web", &ports, &[pod]);
    let lead_to = |target: SocketAddr| {
        world
            .api
            .change("endpointslices", "default", "web-1", |slice| {
                slice["ports"][1]["port"] = json!(target.port());
            });
    };
    lead_to(first);
    let _running = world.run("").await;
    eventually("the Service", || world.is_served("web")).await;
    let [kept, changed] = ports.map(|port| SocketAddr::new(world.ip(1), port));
    let mut session = Session::open(kept).await;
    ask_until("the target", changed, |answer| answer == Some("first")).await;
    lead_to(other);
    ask_until("the other target", changed, |answer| {
        answer == Some("other")
    })
    .await;
    session.check().await;
    // The second port becomes one of UDP: it is closed, and said to be unsupported.
    let protocol = |protocol: &'static str| {
        world
            .api
            .change("services", "default", "web", move |service| {
                service["spec"]["ports"][1]["protocol"] = json!(protocol);
            });
    };
    protocol("UDP");
    poll_until("the end of the second port", || async {
        TcpStream::connect(changed).await.err()
    })
    .await;
    session.check().await;
    let error = || {
        let service = world.service("web");
        service["status"]["loadBalancer"]["ingress"][0]["ports"][1]["error"].clone()
    };
    eventually("the error", || {
        error() == "kube-lb.internal/UnsupportedProtocol"
    })
    .await;
    protocol("TCP");
    ask_until("the port again", changed, |answer| answer == Some("other")).await;
    session.check().await;
}

async fn ask_open(addr: SocketAddr) {
    poll_until("an open port", || async {
        TcpStream::connect(addr).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_removed_port_keeps_its_sessions_unless_they_have_a_deadline() {
    let world = World::start(21).await;
    let port = free_port().await;
    let pod = echo([127, 2, 21, 1]).await;
    world.serve("keeps", &[port], &[pod]);
    world.serve("ends", &[port], &[pod]);
    world.api.change("services", "default", "ends", |service| {
        service["metadata"]["annotations"] = json!({"kube-lb.internal/port-drain": "100ms"});
    });
    let _running = world.run("").await;
    eventually("both", || {
        world.is_served("keeps") && world.is_served("ends")
    })
    .await;
    let addr = |name: &str| SocketAddr::new(world.addresses(name)[0].parse().unwrap(), port);
    let mut kept = Session::open(addr("keeps")).await;
    let mut ended = Session::open(addr("ends")).await;
    world.api.request_deletion("services", "default", "ends");
    world.api.request_deletion("services", "default", "keeps");
    within("the deadline", async {
        while ended.stream().read_u8().await.is_ok() {}
    })
    .await;
    kept.check().await;
}

#[tokio::test]
async fn only_clients_of_the_source_ranges_are_served() {
    let world = World::start(22).await;
    let port = free_port().await;
    world.serve("web", &[port], &pods([127, 2, 22], &["a"]).await);
    world.api.change("services", "default", "web", |service| {
        service["spec"]["loadBalancerSourceRanges"] = json!(["10.0.0.0/8"]);
    });
    let _running = world.run("").await;
    eventually("the Service", || world.is_served("web")).await;
    let addr = SocketAddr::new(world.ip(1), port);
    assert_eq!(ask(addr).await, None);
    world.api.change("services", "default", "web", |service| {
        service["spec"]["loadBalancerSourceRanges"] = json!(["10.0.0.0/8", "127.0.0.0/8"]);
    });
    ask_until("an answer", addr, |answer| answer == Some("a")).await;
}

#[tokio::test]
async fn pods_see_the_client_by_the_proxy_protocol() {
    let world = World::start(23).await;
    let port = free_port().await;
    let listener = TcpListener::bind("127.2.23.1:0").await.unwrap();
    world.serve("web", &[port], &[listener.local_addr().unwrap()]);
    world.api.change("services", "default", "web", |service| {
        service["metadata"]["annotations"] = json!({"kube-lb.internal/proxy-protocol": "v1"});
    });
    let _running = world.run("").await;
    eventually("the Service", || world.is_served("web")).await;
    let client = TcpStream::connect((world.ip(1), port)).await.unwrap();
    let from = client.local_addr().unwrap();
    let (mut stream, _) = within("the backend's side", listener.accept())
        .await
        .unwrap();
    let mut header = vec![0; 256];
    let length = within("the header", stream.read(&mut header))
        .await
        .unwrap();
    let ip = world.ip(1);
    let expected = format!("PROXY TCP4 {} {ip} {} {port}\r\n", from.ip(), from.port());
    assert_eq!(String::from_utf8_lossy(&header[..length]), expected);
}

#[tokio::test]
async fn nodes_are_weighted_by_their_ready_pods() {
    let world = World::start(24).await;
    let port = free_port().await;
    // The addresses of the nodes, at the node port.
    let nodes = pods([127, 2, 24], &["one", "two"]).await;
    let mut object = service("web", &[port]);
    object["spec"]["externalTrafficPolicy"] = json!("Local");
    object["spec"]["ports"][0]["nodePort"] = json!(nodes[0].port());
    object["metadata"]["annotations"] = json!({"kube-lb.internal/backends": "nodes"});
    world.api.put("services", object);
    for (name, addr) in ["one", "two"].iter().zip(&nodes) {
        world.api.put("nodes", node(name, &addr.ip().to_string()));
    }
    // Three pods on the first node, one on the second.
    let pods: [SocketAddr; 4] = [1, 2, 3, 4].map(|i| SocketAddr::from(([10, 0, 0, i], 8080)));
    world.endpoints("web", &[port], &pods);
    world
        .api
        .change("endpointslices", "default", "web-1", |slice| {
            for (i, endpoint) in slice["endpoints"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .enumerate()
            {
                endpoint["nodeName"] = json!(if i < 3 { "one" } else { "two" });
            }
        });
    let _running = world.run("").await;
    let addr = SocketAddr::new(world.ip(1), port);
    ask_until("both nodes", addr, |answer| answer == Some("two")).await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(ask(addr).await.unwrap());
    }
    assert_eq!(
        answers.iter().filter(|answer| *answer == "one").count(),
        6,
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_rolling_update_under_load_fails_no_connection() {
    let world = World::start(25).await;
    let port = free_port().await;
    let pods = pods([127, 2, 25], &["a", "b", "c", "d", "e", "f"]).await;
    world.serve("web", &[port], &pods[..2]);
    let _running = world.run("").await;
    eventually("the Service", || world.is_served("web")).await;
    let addr = SocketAddr::new(world.ip(1), port);
    let clients = tokio::spawn(async move {
        let mut answers = Vec::new();
        for _ in 0..600 {
            answers.push(ask(addr).await);
        }
        answers
    });
    // Each pair of pods is replaced by the next, one pod at a time.
    for step in 0..4 {
        world.endpoints("web", &[port], &pods[step..step + 3]);
        let newest = ["c", "d", "e", "f"][step];
        ask_until("the new pod", addr, |answer| answer == Some(newest)).await;
        world.endpoints("web", &[port], &pods[step + 1..step + 3]);
    }
    let answers = clients.await.unwrap();
    let failed = answers.iter().filter(|answer| answer.is_none()).count();
    assert_eq!(failed, 0);
}

#[tokio::test]
async fn a_service_without_slices_is_empty_until_they_return() {
    let world = World::start(26).await;
    let port = free_port().await;
    let pods = pods([127, 2, 26], &["a"]).await;
    world.serve("web", &[port], &pods);
    let _running = world.run("").await;
    eventually("the Service", || world.is_served("web")).await;
    let addr = SocketAddr::new(world.ip(1), port);
    world.api.delete("endpointslices", "default", "web-1");
    ask_until("the end", addr, |answer| answer.is_none()).await;
    world.endpoints("web", &[port], &pods);
    ask_until("the return", addr, |answer| answer == Some("a")).await;
}
