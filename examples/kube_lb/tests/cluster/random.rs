//! Random changes, with live sessions.

use std::net::SocketAddr;

use lb_core::{Rng, SplitMix64};
use serde_json::json;
use test_support::deadline::{eventually, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{World, echo, free_port};

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
    let _running = world.run("").await;
    eventually("the Service", || world.is_served("kept")).await;
    let addresses = world.addresses("kept");
    let ip = addresses[0].parse().unwrap();
    let mut sessions = Vec::new();
    for port in &ports {
        sessions.push(
            TcpStream::connect(SocketAddr::new(ip, *port))
                .await
                .unwrap(),
        );
    }
    for i in 0..CHANGES {
        change(&world, &mut rng, &ports, pod);
        let session = &mut sessions[(i % 4) as usize];
        within("an echo", async {
            session.write_all(b"x").await.unwrap();
            assert_eq!(session.read_u8().await.unwrap(), b'x', "change {i}");
        })
        .await;
        // New connections are served as well.
        if i % 16 == 0 {
            let mut new = TcpStream::connect(SocketAddr::new(ip, ports[0]))
                .await
                .unwrap();
            within("an echo", async {
                new.write_all(b"y").await.unwrap();
                assert_eq!(new.read_u8().await.unwrap(), b'y', "change {i}");
            })
            .await;
        }
    }
    assert_eq!(world.addresses("kept"), addresses);
    // In the end everything is served as if it had been there from the start.
    world.serve("last", &ports, &[pod]);
    eventually("the last Service", || world.is_served("last")).await;
}
