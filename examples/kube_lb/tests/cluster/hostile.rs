//! Objects that are meant to harm, and users that change objects all the time.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use test_support::deadline::{eventually, poll_until};
use test_support::streams::assert_refused;
use tokio::net::TcpStream;
use tokio::time::{Instant, interval};

use crate::gateway::metadata;
use crate::support::{Session, World, ask, echo, free_port, pods, service};

#[tokio::test]
async fn hostile_objects_do_not_affect_others() {
    let world = World::start(32).await;
    let port = free_port().await;
    let pods = pods([127, 2, 32], &["a"]).await;
    let mut many = service("many", &[]);
    // The unit tests have all 65535; here the API server of the tests would need most of the time.
    many["spec"]["ports"] = (1..=20_000)
        .map(|port| json!({"name": format!("p{port}"), "port": port}))
        .collect();
    let mut huge = service("huge", &[port]);
    huge["metadata"]["annotations"] = json!({
        "kube-lb.internal/policy": "x".repeat(1 << 20),
        "kube-lb.internal/pool": "\u{1b}[31m\n\"",
        "other": "y".repeat(1 << 20),
    });
    let mut unknown = service("unknown", &[port]);
    for i in 0..10_000 {
        let name = format!("kube-lb.internal/unknown-{i:05}-{}", "x".repeat(80));
        unknown["metadata"]["annotations"][name] = json!("value");
    }
    let mut thief = service("thief", &[port]);
    thief["spec"]["loadBalancerIP"] = json!("127.0.0.1");
    thief["spec"]["externalIPs"] = json!(["10.96.0.1"]);
    let mut odd = service("odd", &[port]);
    odd["spec"]["ports"] =
        json!([{"port": -1}, {"port": 0}, {"port": 99999}, {"port": port, "name": null}]);
    odd["status"] = json!(null);
    // What a proxy cannot be built with.
    let mut extreme = service("extreme", &[port]);
    extreme["metadata"]["annotations"] = json!({
        "kube-lb.internal/health-check": "tcp",
        "kube-lb.internal/health-check-interval": "1ms",
        "kube-lb.internal/connect-timeout": "4294967295h",
        "kube-lb.internal/client-rate": "4294967295",
        "kube-lb.internal/client-sessions": "4294967295",
    });
    for object in [many, huge, unknown, extreme, thief, odd] {
        world.api.put("services", object);
    }
    world.serve("web", &[port], &pods);
    let _running = world.run("max_ports: 1").await;
    eventually("the Service", || world.is_served("web")).await;
    let web = SocketAddr::new(world.addresses("web")[0].parse().unwrap(), port);
    assert_eq!(ask(web).await.as_deref(), Some("a"));
    eventually("the thief", || {
        world.condition("thief", "AddressAssigned").is_some()
    })
    .await;
    assert_eq!(
        world.condition("thief", "AddressAssigned").unwrap()["reason"],
        "NoAddress"
    );
    assert!(world.addresses("thief").is_empty());
    for name in ["many", "huge", "unknown", "extreme", "odd"] {
        eventually(name, || world.condition(name, "SettingsValid").is_some()).await;
        let status = world.service(name)["status"].to_string();
        assert!(status.len() < 10_000, "{name} has {} bytes", status.len());
    }
    eventually("Events about all", || world.api.all("events").len() >= 8).await;
    for event in world.api.all("events") {
        assert!(event.to_string().len() < 4000, "{event}");
    }
}

/// 64 listeners from the port `first` on.
fn listeners(first: u16) -> Vec<Value> {
    let ports = first..first + 64;
    ports
        .map(|port| json!({"name": format!("p{port}"), "protocol": "TCP", "port": port}))
        .collect()
}

#[tokio::test]
async fn gateways_and_listener_sets_that_want_very_many_ports_do_not_affect_others() {
    let world = World::start(34).await;
    let port = free_port().await;
    world.install_gateway_api();
    let spec = json!({"gatewayClassName": "lb", "listeners": listeners(20_000),
        "allowedListeners": {"namespaces": {"from": "All"}}});
    world.api.put(
        "gateways",
        json!({"metadata": metadata("gw", 0), "spec": spec}),
    );
    for set in 1..20_u16 {
        let spec = json!({"parentRef": {"name": "gw"}, "listeners": listeners(20_000 + 64 * set)});
        let metadata = metadata(&format!("set-{set:02}"), 1);
        world
            .api
            .put("listenersets", json!({"metadata": metadata, "spec": spec}));
    }
    // More routes than can be told in a second that another one has precedence.
    for route in 0..300 {
        world.tcp_route(&format!("route-{route:03}"), 1, &[("web", 80, 1)]);
    }
    let _running = world.run("max_ports: 70").await;
    let sets = || world.api.all("listenersets");
    let said = |set: &Value, listener: usize| {
        let conditions = set["status"]["listeners"][listener]["conditions"].clone();
        let mut conditions = conditions.as_array().into_iter().flatten();
        let accepted = conditions.find(|one| one["type"] == "Accepted");
        accepted.map(|accepted| accepted["reason"].as_str().unwrap().to_owned())
    };
    // While their statuses are written, another namespace's Service does not wait for them.
    let mut web = service("web", &[port]);
    web["metadata"]["namespace"] = json!("other");
    world.api.put("services", web);
    let is_told = || {
        let web = world.api.get("services", "other", "web");
        web["status"]["conditions"].is_array()
    };
    eventually("the Service", is_told).await;
    eventually("all statuses", || {
        sets().iter().all(|set| said(set, 0).is_some())
    })
    .await;
    // The first six ports of the first set are below the limit.
    assert_eq!(said(&sets()[0], 5).as_deref(), Some("Accepted"));
    assert_eq!(said(&sets()[0], 6).as_deref(), Some("PortUnavailable"));
    assert_eq!(said(&sets()[18], 63).as_deref(), Some("PortUnavailable"));
    let gateway = world.api.get("gateways", "default", "gw");
    let ip: IpAddr = gateway["status"]["addresses"][0]["value"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    // Their route has no backend, so clients are reset.
    assert_refused((ip, 20_069).into()).await;
    let error = TcpStream::connect((ip, 20_070)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_service_that_is_edited_a_hundred_times_a_second_is_written_rarely_and_affects_no_other()
{
    let world = World::start(33).await;
    let port = free_port().await;
    let second = free_port().await;
    let pods = pods([127, 2, 33], &["a"]).await;
    world.serve("web", &[port], &pods);
    world.serve("live", &[second], &[echo([127, 2, 33, 9]).await]);
    let _running = world.run("").await;
    eventually("both", || world.is_served("web") && world.is_served("live")).await;
    let live = SocketAddr::new(world.addresses("live")[0].parse().unwrap(), second);
    let mut session = Session::open(live).await;
    let writes = |name: &str| {
        let path = format!("/services/{name}");
        let requests = world.api.requests().into_iter();
        requests
            .filter(|request| request.method == "PATCH" && request.path.contains(&path))
            .count()
    };
    let (before, of_live) = (writes("web"), writes("live"));
    let began = Instant::now();
    let mut edits = interval(Duration::from_millis(10));
    let mut added = None;
    for i in 0..400 {
        edits.tick().await;
        let policy = ["p2c", "maglev", "least_conn"][i % 3];
        world.api.change("services", "default", "web", |service| {
            // Its port comes and goes, its policy changes, and one setting is always wrong in another way.
            service["spec"]["ports"][0]["port"] = json!(if i % 2 == 0 { second } else { port });
            service["metadata"]["annotations"] = json!({
                "kube-lb.internal/policy": policy,
                "kube-lb.internal/client-rate": format!("wrong{i}"),
            });
        });
        session.check().await;
        if i == 100 {
            world.serve("added", &[port], &pods);
        }
        if i > 100 && added.is_none() && world.is_served("added") {
            added = Some(i);
        }
    }
    let elapsed = began.elapsed();
    let written = writes("web") - before;
    println!("served amid the edits: {added:?}, {written} writes in {elapsed:?}");
    eventually("the added Service", || world.is_served("added")).await;
    // Twice a second at most, and what comes too late at most ten times.
    let most = 12.0 + 3.0 * elapsed.as_secs_f64();
    assert!((written as f64) < most, "{written} writes in {elapsed:?}");
    assert_eq!(writes("live"), of_live);
    let says_last = || {
        let condition = world.condition("web", "SettingsValid");
        condition.is_some_and(|condition| condition["message"].to_string().contains("wrong399"))
    };
    eventually("the last edit", says_last).await;
    let address = world.addresses("web")[0].parse().unwrap();
    poll_until("the last port", || async {
        ask(SocketAddr::new(address, port)).await
    })
    .await;
}
