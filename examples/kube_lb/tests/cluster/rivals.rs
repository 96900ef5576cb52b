//! Two controllers of one class by mistake, and addresses that are taken out of a pool.

use std::net::{IpAddr, SocketAddr};

use kube_lb::config::Config;
use test_support::deadline::{eventually, poll_until};
use test_support::log::Capture;
use tokio::net::TcpStream;

use crate::support::{Running, Session, World, ask, echo, free_port, pods};

impl World {
    /// The configuration with other addresses in its pool.
    fn config_with(&self, first: u8, last: u8, more: &str) -> Config {
        let usual = format!("{}-{}", self.ip(1), self.ip(20));
        let other = format!("{}-{}", self.ip(first), self.ip(last));
        Config::parse(&self.config_text(more).replace(&usual, &other)).unwrap()
    }
}

/// Without a Lease both assign addresses of pools of their own, and each finds the address of the other one in the status.
#[tokio::test]
async fn two_controllers_of_one_class_write_ever_more_rarely_and_say_so() {
    let log = Capture::install();
    let world = World::start(35).await;
    let port = free_port().await;
    world.serve("web", &[port], &pods([127, 2, 35], &["a"]).await);
    let _one = Running::start(world.config_with(1, 5, "")).await;
    let _other = Running::start(world.config_with(11, 15, "")).await;
    let mut lines = Vec::new();
    eventually("a line about the other one", || {
        lines.extend(log.take());
        let about = "Status undone by another process";
        lines
            .iter()
            .any(|line| line.contains(about) && line.contains("default/web"))
    })
    .await;
    // Whichever address the status has, it is served.
    poll_until("an answer", || async {
        let ip: IpAddr = world.addresses("web").first()?.parse().ok()?;
        ask(SocketAddr::new(ip, port)).await
    })
    .await;
}

#[tokio::test]
async fn an_address_that_is_taken_out_of_a_pool_is_replaced_and_its_sessions_go_on() {
    let world = World::start(36).await;
    let port = free_port().await;
    let pod = echo([127, 2, 36, 1]).await;
    let [shared, named] = ["shared", "named"];
    world.serve(shared, &[port], &[pod]);
    world.serve(named, &[port], &[pod]);
    world.api.change("services", "default", named, |service| {
        let wanted = world.ip(2).to_string();
        service["metadata"]["annotations"] =
            serde_json::json!({"kube-lb.internal/addresses": wanted});
    });
    let running = world.run("").await;
    eventually("both", || world.is_served(shared) && world.is_served(named)).await;
    assert_eq!(world.addresses(shared), [world.ip(1).to_string()]);
    let mut sessions = Vec::new();
    for last in [1, 2] {
        let old = SocketAddr::new(world.ip(last), port);
        sessions.push(Session::open(old).await);
    }
    let less = world.config_with(10, 20, "");
    running.settings.send(less).await.unwrap();
    // One gets another address. The other one names an address that is in no pool any more.
    eventually("another address", || {
        world.addresses(shared) == [world.ip(10).to_string()] && world.is_served(shared)
    })
    .await;
    eventually("no address", || world.addresses(named).is_empty()).await;
    let condition = world.condition(named, "AddressAssigned").unwrap();
    assert_eq!(condition["reason"], "NoAddress");
    let expected = format!("the requested address {} is in no pool", world.ip(2));
    assert_eq!(condition["message"], expected);
    for (last, session) in [1, 2].into_iter().zip(&mut sessions) {
        let old = SocketAddr::new(world.ip(last), port);
        poll_until("the end of the old address", || async {
            TcpStream::connect(old).await.err()
        })
        .await;
        session.check().await;
    }
    // It comes back: the Service that names it gets it again, and the other one keeps what it has.
    running.settings.send(world.config("")).await.unwrap();
    eventually("the address", || world.is_served(named)).await;
    assert_eq!(world.addresses(named), [world.ip(2).to_string()]);
    assert_eq!(world.addresses(shared), [world.ip(10).to_string()]);
    let again = SocketAddr::new(world.ip(2), port);
    assert!(TcpStream::connect(again).await.is_ok());
}
