//! Several replicas.

use std::net::SocketAddr;

use test_support::deadline::eventually;
use test_support::kubernetes::Fault;

use crate::support::{Running, World, ask, ask_until, free_port, pods};

/// A configuration whose Lease lasts 3 s.
fn lease(identity: &str) -> String {
    format!("lease: {{namespace: kube-lb, duration: 3s, identity: {identity}}}")
}

fn holder(world: &World) -> Option<String> {
    let lease = world.api.find("leases", "kube-lb", "kube-lb")?;
    let holder = lease["spec"]["holderIdentity"].as_str()?.to_owned();
    Some(holder).filter(|holder| !holder.is_empty())
}

#[tokio::test]
async fn another_replica_takes_over_and_keeps_the_addresses() {
    let world = World::start(40).await;
    let port = free_port().await;
    let pods = pods([127, 2, 40], &["a"]).await;
    world.serve("web", &[port], &pods);
    let first = world.run(&lease("one")).await;
    eventually("the first", || {
        holder(&world).is_some_and(|holder| holder.starts_with("one_"))
    })
    .await;
    eventually("the Service", || world.is_served("web")).await;
    let address = world.addresses("web");
    // Both replicas would listen on the same address here, so the second one starts after the first has ended.
    first.kill().await;
    let second = world.run(&lease("two")).await;
    let addr = SocketAddr::new(world.ip(1), port);
    // It serves what the status says before it leads.
    ask_until("the second", addr, |answer| answer == Some("a")).await;
    world.serve("late", &[port], &pods);
    eventually("the second leads", || {
        holder(&world).is_some_and(|holder| holder.starts_with("two_"))
    })
    .await;
    eventually("the late Service", || world.is_served("late")).await;
    assert_eq!(world.addresses("web"), address);
    let lease = world.api.get("leases", "kube-lb", "kube-lb");
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
    // An orderly end releases the Lease.
    second.end().await;
    assert_eq!(holder(&world), None);
}

#[tokio::test]
async fn a_replica_that_does_not_lead_writes_nothing_and_assigns_nothing() {
    let world = World::start(41).await;
    let port = free_port().await;
    let pods = pods([127, 2, 41], &["a"]).await;
    world.api.put(
        "leases",
        serde_json::json!({
            "metadata": {"name": "kube-lb", "namespace": "kube-lb"},
            "spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600, "renewTime": "2026-01-01T00:00:00.000000Z"},
        }),
    );
    world.serve("web", &[port], &pods);
    let running: Running = world.run(&lease("one")).await;
    let asked = || {
        world
            .api
            .requests()
            .iter()
            .filter(|request| request.path.ends_with("/leases/kube-lb"))
            .count()
            >= 2
    };
    eventually("two looks at the Lease", asked).await;
    let writes = world
        .api
        .requests()
        .into_iter()
        .filter(|request| request.method != "GET");
    assert_eq!(writes.count(), 0);
    assert_eq!(ask((world.ip(1), port).into()).await, None);
    running.end().await;
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_writing_and_serves_on() {
    let world = World::start(42).await;
    let port = free_port().await;
    let pods = pods([127, 2, 42], &["a"]).await;
    world.serve("web", &[port], &pods);
    let _running = world.run(&lease("one")).await;
    eventually("the Service", || world.is_served("web")).await;
    world.api.forbid("leases");
    let failed = world.api.requests().len();
    let renewals = || {
        let requests = world.api.requests();
        requests[failed..]
            .iter()
            .filter(|request| request.path.contains("/leases"))
            .count()
    };
    // By the fourth attempt, at least 2 s later, its time is over.
    eventually("failed renewals", || renewals() >= 4).await;
    let before = world.api.requests().len();
    world.serve("late", &[port], &pods);
    let addr = SocketAddr::new(world.ip(1), port);
    assert_eq!(ask(addr).await.as_deref(), Some("a"));
    eventually("more failed renewals", || renewals() >= 6).await;
    let requests = world.api.requests();
    let writes = requests[before..]
        .iter()
        .filter(|request| request.method != "GET");
    assert_eq!(writes.count(), 0);
    assert_eq!(
        world.api.get("services", "default", "late")["metadata"]["finalizers"],
        serde_json::Value::Null
    );
    world.api.fault(Fault::None);
}
