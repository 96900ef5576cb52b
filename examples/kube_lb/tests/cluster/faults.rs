//! An API server that fails.

use std::net::SocketAddr;

use test_support::deadline::eventually;
use test_support::kubernetes::Fault;

use crate::support::{World, ask, ask_until, free_port, pods};

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
        Fault::Slow,
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
