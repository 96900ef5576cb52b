//! Random changes of Services, Gateways and their routes, with live sessions.

use std::net::{IpAddr, SocketAddr};

use lb_core::{Rng, SplitMix64};
use serde_json::json;
use test_support::deadline::eventually;

use crate::gateway::metadata;
use crate::support::{Session, World, echo, free_port};

const CHANGES: u32 = 1000;

/// A number below `bound`.
fn below(rng: &mut SplitMix64, bound: u64) -> u64 {
    rng.below(bound.try_into().unwrap())
}

/// One change of a Service that no session uses.
fn change(world: &World, rng: &mut SplitMix64, ports: &[u16], pod: SocketAddr) {
    let name = format!("s{}", below(rng, 6));
    let port = ports[usize::try_from(below(rng, ports.len() as u64)).unwrap()];
    let exists = world.api.find("services", "default", &name).is_some();
    match below(rng, 8) {
        0 | 1 => world.serve(&name, &[port], &[pod]),
        2 => world.serve(&name, ports, &[pod]),
        3 if exists => world.api.request_deletion("services", "default", &name),
        4 => world.endpoints(&name, &[port], &[]),
        5 => world.endpoints(&name, ports, &[pod]),
        6 if exists => world.api.change("services", "default", &name, |service| {
            let value = ["p2c", "maglev", "nonsense"][usize::from(port % 3)];
            service["metadata"]["annotations"] = json!({"kube-lb.internal/policy": value});
        }),
        7 if exists => world.api.change("services", "default", &name, |service| {
            let wanted = world.ip(u8::try_from(1 + port % 6).unwrap()).to_string();
            service["metadata"]["annotations"] = json!({"kube-lb.internal/addresses": wanted});
        }),
        _ => {}
    }
}

/// One change of a Gateway, a ListenerSet, a route, a policy or a grant that no session uses. Routes may take the listener of the session
/// over, for new connections.
fn change_gateways(world: &World, rng: &mut SplitMix64, ports: &[u16]) {
    let number = u8::try_from(below(rng, 4)).unwrap();
    let port = ports[usize::try_from(below(rng, ports.len() as u64)).unwrap()];
    let put = |resource: &str, name: &str, spec: serde_json::Value| {
        let object = json!({"metadata": metadata(name, number), "spec": spec});
        world.api.put(resource, object);
    };
    let delete = |resource: &str, name: &str| {
        if world.api.find(resource, "default", name).is_some() {
            world.api.delete(resource, "default", name);
        }
    };
    let name = format!("g{number}");
    let idle = ["10m", "never"][usize::from(number % 2)];
    let tls = json!({"name": "b", "protocol": "TLS", "port": port, "tls": {"mode": "Passthrough"}});
    let tcp = json!({"name": "a", "protocol": "TCP", "port": port});
    let parents = json!([{"name": "gw"}, {"name": name}]);
    let rules = json!([{"backendRefs": [{"name": "echo", "port": 80, "weight": number}]}]);
    match below(rng, 10) {
        0 | 1 => put(
            "gateways",
            &name,
            json!({"gatewayClassName": "lb", "listeners": [if number < 2 { tcp } else { tls }]}),
        ),
        2 => delete("gateways", &name),
        3 => put(
            "listenersets",
            &name,
            json!({"parentRef": {"name": "gw"}, "listeners": [tcp]}),
        ),
        4 => delete("listenersets", &name),
        5 => put(
            "tcproutes",
            &name,
            json!({"parentRefs": parents, "rules": rules}),
        ),
        6 => put(
            "tlsroutes",
            &name,
            json!({"parentRefs": parents, "hostnames": ["*.test"], "rules": rules}),
        ),
        7 => delete(["tcproutes", "tlsroutes"][usize::from(number % 2)], &name),
        8 => put(
            "connectionpolicies",
            &name,
            json!({"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "TCPRoute", "name": "kept"}],
                "idleTimeout": idle, "clientRate": 100_000}),
        ),
        _ => delete("connectionpolicies", &name),
    }
}

#[tokio::test]
async fn a_thousand_changes_of_other_services_touch_no_session() {
    let seed = std::env::var("LB_CHAOS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1);
    println!("LB_CHAOS_SEED={seed}");
    let mut rng = SplitMix64::new(seed);
    let world = World::start(60).await;
    let mut ports = Vec::new();
    for _ in 0..4 {
        ports.push(free_port().await);
    }
    let pod = echo([127, 2, 60, 1]).await;
    world.serve("kept", &ports, &[pod]);
    world.install_gateway_api();
    world.backend("echo", &[pod]);
    let listener = json!({"name": "kept", "protocol": "TCP", "port": ports[0]});
    let spec = json!({"gatewayClassName": "lb", "listeners": [listener],
        "allowedListeners": {"namespaces": {"from": "All"}}});
    world.api.put(
        "gateways",
        json!({"metadata": metadata("gw", 0), "spec": spec}),
    );
    world.tcp_route("kept", 2, &[("echo", 80, 1)]);
    let _running = world.run("").await;
    eventually("the Service", || world.is_served("kept")).await;
    let serving = "kube-lb.internal/Serving";
    let parent = "/status/parents/0";
    world
        .says("tcproutes", "kept", parent, serving, "True Serving")
        .await;
    let addresses = world.addresses("kept");
    let ip = addresses[0].parse().unwrap();
    let mut sessions = Vec::new();
    for port in &ports {
        sessions.push(Session::open(SocketAddr::new(ip, *port)).await);
    }
    let gateway = world.api.get("gateways", "default", "gw");
    let gateway: IpAddr = gateway["status"]["addresses"][0]["value"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    sessions.push(Session::open((gateway, ports[0]).into()).await);
    for i in 0..CHANGES {
        match below(&mut rng, 3) {
            0 => change_gateways(&world, &mut rng, &ports),
            _ => change(&world, &mut rng, &ports, pod),
        }
        let session = &mut sessions[(i % 5) as usize];
        session.check().await;
        // New connections are served as well.
        if i % 16 == 0 {
            Session::open(SocketAddr::new(ip, ports[0])).await;
        }
    }
    assert_eq!(world.addresses("kept"), addresses);
    let kept = world.api.get("gateways", "default", "gw");
    let expected = json!([{"type": "IPAddress", "value": gateway.to_string()}]);
    assert_eq!(kept["status"]["addresses"], expected);
    // In the end everything is served as if it had been there from the start.
    world.serve("last", &ports, &[pod]);
    eventually("the last Service", || world.is_served("last")).await;
}
