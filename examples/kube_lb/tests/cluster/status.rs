//! Statuses that the program writes into Services.

use serde_json::{Value, json};
use test_support::deadline::eventually;
use tokio::net::TcpListener;

use crate::support::{World, free_port, pods, service};

const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

fn writes(world: &World) -> usize {
    world
        .api
        .requests()
        .iter()
        .filter(|request| request.method != "GET")
        .count()
}

fn events(world: &World) -> Vec<Value> {
    world.api.all("events")
}

#[tokio::test]
async fn a_service_gets_an_address_a_finalizer_conditions_and_an_event() {
    let world = World::start(2).await;
    let port = free_port().await;
    let pods = pods([127, 2, 2], &["a"]).await;
    world.serve("web", &[port], &pods);
    let _running = world.run("").await;
    eventually("the status", || world.is_served("web")).await;
    let service = world.service("web");
    assert_eq!(service["metadata"]["finalizers"], json!([FINALIZER]));
    let ip = world.ip(1).to_string();
    assert_eq!(
        service["status"]["loadBalancer"]["ingress"],
        json!([{"ip": ip, "ipMode": "Proxy", "ports": [{"port": port, "protocol": "TCP"}]}])
    );
    for kind in [
        "AddressAssigned",
        "Serving",
        "BackendsResolved",
        "SettingsValid",
    ] {
        assert_eq!(
            world.condition("web", kind).unwrap()["status"],
            "True",
            "{kind}"
        );
    }
    eventually("the Event", || !events(&world).is_empty()).await;
    let event = &events(&world)[0];
    assert_eq!(
        (&event["reason"], &event["note"]),
        (&json!("Assigned"), &json!(ip))
    );
    assert_eq!(event["regarding"]["uid"], "uid-web");

    // Nothing changes, so nothing is written: not even when other programs write.
    let written = writes(&world);
    world.api.change("services", "default", "web", |service| {
        service["metadata"]["labels"] = json!({"a": "b"});
    });
    world.serve("other", &[port], &pods);
    eventually("the other Service", || world.is_served("other")).await;
    let about_other = ["/services/other", "/events"];
    let requests = world.api.requests();
    let later = requests
        .iter()
        .filter(|request| request.method != "GET")
        .skip(written);
    for request in later {
        assert!(
            about_other.iter().any(|part| request.path.contains(part)),
            "{request:?}"
        );
    }
}

#[tokio::test]
async fn a_deleted_service_is_freed_after_its_ports_are_closed() {
    let world = World::start(3).await;
    let port = free_port().await;
    let pods = pods([127, 2, 3], &["a"]).await;
    world.serve("web", &[port], &pods);
    let _running = world.run("").await;
    eventually("the status", || world.is_served("web")).await;
    world.api.request_deletion("services", "default", "web");
    eventually("the deletion", || {
        world.api.find("services", "default", "web").is_none()
    })
    .await;
    // The port is free at once.
    drop(TcpListener::bind((world.ip(1), port)).await.unwrap());
    world.serve("next", &[port], &pods);
    eventually("the next one", || world.is_served("next")).await;
    assert_eq!(world.addresses("next"), [world.ip(1).to_string()]);
}

#[tokio::test]
async fn a_service_that_changes_its_type_is_left_clean() {
    let world = World::start(4).await;
    let port = free_port().await;
    world.serve("web", &[port], &pods([127, 2, 4], &["a"]).await);
    world.api.change("services", "default", "web", |service| {
        service["metadata"]["finalizers"] = json!(["example.com/other"]);
        service["status"]["conditions"] = json!([{"type": "Other", "status": "True", "reason": "Other",
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    });
    let _running = world.run("").await;
    eventually("the status", || world.is_served("web")).await;
    // What the API server does when the type changes.
    world.api.change("services", "default", "web", |service| {
        service["spec"]["type"] = json!("ClusterIP");
        service["spec"]
            .as_object_mut()
            .unwrap()
            .remove("loadBalancerClass");
        service["status"]
            .as_object_mut()
            .unwrap()
            .remove("loadBalancer");
    });
    eventually("the clean status", || {
        let service = world.service("web");
        service["status"]["conditions"]
            .as_array()
            .is_some_and(|left| left.len() == 1)
            && service["metadata"]["finalizers"] == json!(["example.com/other"])
    })
    .await;
    drop(TcpListener::bind((world.ip(1), port)).await.unwrap());
}

#[tokio::test]
async fn addresses_survive_a_restart_and_conflicts_are_told_to_the_loser() {
    let world = World::start(5).await;
    let port = free_port().await;
    let pods = pods([127, 2, 5], &["a"]).await;
    world.serve("b", &[port], &pods);
    let running = world.run("").await;
    eventually("b", || world.is_served("b")).await;
    running.kill().await;
    // An older Service that would have been first.
    let mut older = service("a", &[port]);
    older["metadata"]["creationTimestamp"] = json!("2025-01-01T00:00:00Z");
    older["metadata"]["annotations"] =
        json!({"kube-lb.internal/addresses": world.ip(1).to_string()});
    world.api.put("services", older);
    world.endpoints("a", &[port], &pods);
    let _running = world.run("").await;
    eventually("the conflict", || world.condition("a", "Serving").is_some()).await;
    assert_eq!(world.addresses("b"), [world.ip(1).to_string()]);
    let condition = world.condition("a", "Serving").unwrap();
    assert_eq!(condition["reason"], "PortConflict");
    assert!(
        condition["message"]
            .as_str()
            .unwrap()
            .starts_with("Service default/b has port"),
        "{condition}"
    );
    let port_status = &world.service("a")["status"]["loadBalancer"]["ingress"][0]["ports"][0];
    assert_eq!(port_status["error"], "kube-lb.internal/PortConflict");
    // It is served as soon as the port is free.
    world.api.request_deletion("services", "default", "b");
    eventually("a", || world.is_served("a")).await;
}

#[tokio::test]
async fn a_port_that_another_program_has_is_reported_and_served_once_it_is_free() {
    let world = World::start(6).await;
    let port = free_port().await;
    let other = TcpListener::bind((world.ip(1), port)).await.unwrap();
    let free = free_port().await;
    let pods = pods([127, 2, 6], &["a"]).await;
    world.serve("web", &[port, free], &pods);
    let _running = world.run("").await;
    eventually("the report", || world.condition("web", "Serving").is_some()).await;
    let condition = world.condition("web", "Serving").unwrap();
    assert_eq!(condition["reason"], "NotListening");
    assert!(
        condition["message"]
            .as_str()
            .unwrap()
            .contains("another program listens there"),
        "{condition}"
    );
    // The other port is served.
    let answer = crate::support::ask((world.ip(1), free).into()).await;
    assert_eq!(answer.as_deref(), Some("a"));
    drop(other);
    eventually("the port", || world.is_served("web")).await;
}

#[tokio::test]
async fn a_status_that_another_program_owns_is_left_until_told_otherwise() {
    let world = World::start(7).await;
    let port = free_port().await;
    world.serve("web", &[port], &pods([127, 2, 7], &["a"]).await);
    world.api.apply_status(
        "services",
        "default",
        "web",
        "other",
        &json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}),
    );
    let running = world.run("").await;
    let refused = || {
        world
            .api
            .requests()
            .iter()
            .any(|request| request.path.ends_with("/status"))
    };
    eventually("a refused write", refused).await;
    running.end().await;
    assert_eq!(world.addresses("web"), ["203.0.113.1"]);
    let _running = world.run("take_over: true").await;
    eventually("the status", || world.is_served("web")).await;
    assert_eq!(world.addresses("web"), [world.ip(1).to_string()]);
}

#[tokio::test]
async fn a_service_without_endpoints_says_why() {
    let world = World::start(8).await;
    let port = free_port().await;
    world.api.put("services", service("web", &[port]));
    let _running = world.run("").await;
    eventually("the report", || {
        world.condition("web", "BackendsResolved").is_some()
    })
    .await;
    let condition = world.condition("web", "BackendsResolved").unwrap();
    assert_eq!(
        condition["message"],
        format!("port {port}: the Service has no EndpointSlice")
    );
    world.endpoints("web", &[port], &pods([127, 2, 8], &["a"]).await);
    eventually("the endpoints", || {
        world.condition("web", "BackendsResolved").unwrap()["status"] == "True"
    })
    .await;
}
