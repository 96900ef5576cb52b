//! An API server that fails, and objects that are meant to harm.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::json;
use test_support::deadline::eventually;
use test_support::kubernetes::Fault;

use crate::support::{World, ask, ask_until, free_port, pods, service};

#[tokio::test]
async fn clients_are_served_while_the_api_server_fails_in_every_way() {
    let mut world = World::start(30).await;
    let port = free_port().await;
    let pods = pods([127, 2, 30], &["a", "b"]).await;
    world.serve("web", &[port], &pods[..1]);
    let _running = world.run("").await;
    eventually("the Service", || world.is_served("web")).await;
    let addr = SocketAddr::new(world.ip(1), port);
    for fault in [
        Fault::Status(500),
        Fault::Status(403),
        Fault::Throttled(429, 1),
        Fault::Garbage,
        Fault::Gone,
        Fault::EmptyLists,
        Fault::Redirected,
    ] {
        world.api.fault(fault);
        let requests = world.api.requests().len();
        eventually("a failed request", || world.api.requests().len() > requests).await;
        assert_eq!(ask(addr).await.as_deref(), Some("a"), "{fault:?}");
    }
    world.api.fault(Fault::None);
    world.endpoints("web", &[port], &pods);
    ask_until("the second pod", addr, |answer| answer == Some("b")).await;
    world.api.kill().await;
    assert!(ask(addr).await.is_some());
    world.api.restart().await;
    world.endpoints("web", &[port], &pods[..1]);
    let mut row = 0;
    while row < 4 {
        row = if ask(addr).await.as_deref() == Some("a") {
            row + 1
        } else {
            0
        };
    }
}

#[tokio::test]
async fn a_cluster_that_is_restored_from_a_backup_is_followed() {
    let world = World::start(31).await;
    let ports = [free_port().await, free_port().await];
    let pods = pods([127, 2, 31], &["a"]).await;
    world.serve("old", &ports[..1], &pods);
    let _running = world.run("").await;
    eventually("old", || world.is_served("old")).await;
    let backup = world.api.backup();
    world.serve("new", &ports[1..], &pods);
    eventually("new", || world.is_served("new")).await;
    let new = SocketAddr::new(world.addresses("new")[0].parse().unwrap(), ports[1]);
    assert_eq!(ask(new).await.as_deref(), Some("a"));
    world.api.restore(&backup);
    ask_until("the end of what the backup does not have", new, |answer| {
        answer.is_none()
    })
    .await;
    assert_eq!(
        ask((world.ip(1), ports[0]).into()).await.as_deref(),
        Some("a")
    );
}

#[tokio::test]
async fn hostile_objects_do_not_affect_others() {
    let world = World::start(32).await;
    let port = free_port().await;
    let pods = pods([127, 2, 32], &["a"]).await;
    let mut many = service("many", &[]);
    many["spec"]["ports"] = (1..=65535)
        .map(|port| json!({"name": format!("p{port}"), "port": port}))
        .collect();
    let mut huge = service("huge", &[port]);
    huge["metadata"]["annotations"] = json!({
        "kube-lb.internal/policy": "x".repeat(1 << 20),
        "kube-lb.internal/pool": "\u{1b}[31m\n\"",
        "other": "y".repeat(1 << 20),
    });
    let mut thief = service("thief", &[port]);
    thief["spec"]["loadBalancerIP"] = json!("127.0.0.1");
    thief["spec"]["externalIPs"] = json!(["10.96.0.1"]);
    let mut odd = service("odd", &[port]);
    odd["spec"]["ports"] =
        json!([{"port": -1}, {"port": 0}, {"port": 99999}, {"port": port, "name": null}]);
    odd["status"] = json!(null);
    for object in [many, huge, thief, odd] {
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
    eventually("the huge one", || {
        world.condition("huge", "SettingsValid").is_some()
    })
    .await;
    let message = world.condition("huge", "SettingsValid").unwrap()["message"].to_string();
    assert!(message.len() < 2000);
}

#[tokio::test]
async fn a_service_that_is_edited_all_the_time_is_written_rarely() {
    let world = World::start(33).await;
    let port = free_port().await;
    let pods = pods([127, 2, 33], &["a"]).await;
    world.serve("web", &[port], &pods);
    let _running = world.run("").await;
    eventually("the Service", || world.is_served("web")).await;
    let writes = || {
        world
            .api
            .requests()
            .iter()
            .filter(|request| request.method == "PATCH")
            .count()
    };
    let before = writes();
    let began = Instant::now();
    for i in 0..300 {
        world.api.change("services", "default", "web", |service| {
            service["metadata"]["annotations"] =
                json!({"kube-lb.internal/policy": format!("wrong{i}")});
        });
        tokio::task::yield_now().await;
    }
    let says_last = || {
        let condition = world.condition("web", "SettingsValid");
        condition.is_some_and(|condition| condition["message"].to_string().contains("wrong299"))
    };
    eventually("the last edit", says_last).await;
    // Each of them names another value, but they are gathered: the status is written every 500 ms at most.
    let written = (writes() - before) as u128;
    let elapsed = began.elapsed();
    let most = 40 + elapsed.as_millis() / 500;
    assert!(written < most, "{written} in {elapsed:?}");
    assert_eq!(ask((world.ip(1), port).into()).await.as_deref(), Some("a"));
}
