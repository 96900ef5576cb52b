//! What sessions see of a backend that leaves or falls ill.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use lb_core::{Backend, Health};
use lb_discovery::{DriverConfig, ManualHandle, channel};
use lb_proxy::{Listener, Parting, Upstream, UpstreamBuilder};
use support::{Running, assert_reset, in_flight, listening, loopback, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const AT_ONCE: Parting = Parting::Close {
    spread: Duration::ZERO,
};

/// A proxy over a backend that leaves and one that stays.
struct Scene {
    sources: ManualHandle,
    leaves: Backend,
    upstream: Upstream,
    proxy: Running,
    clients: Vec<(u8, TcpStream)>,
}

impl Scene {
    async fn new(
        sessions: usize,
        settings: impl FnOnce(UpstreamBuilder) -> UpstreamBuilder,
    ) -> Self {
        let leaves = Backend::new(listening("l").await);
        let stays = Backend::new(listening("s").await);
        let (sources, manual) = channel([leaves.clone(), stays].into_iter().collect());
        let builder = Upstream::builder("scene")
            .discovery(manual)
            .policy(lb_core::policy::WeightedRoundRobin::new())
            .discovery_config(DriverConfig::default().debounce(Duration::from_millis(1)));
        let upstream = settings(builder).build().unwrap();
        let proxy = Running::start(Listener::new(loopback(), &upstream), None).await;
        let mut clients = Vec::new();
        for _ in 0..sessions {
            let mut client = proxy.connect().await;
            clients.push((client.read_u8().await.unwrap(), client));
        }
        Self {
            sources,
            leaves,
            upstream,
            proxy,
            clients,
        }
    }

    fn take(&mut self, backend: u8) -> Vec<TcpStream> {
        let clients = std::mem::take(&mut self.clients).into_iter();
        let (taken, rest) = clients.partition(|(from, _)| *from == backend);
        self.clients = rest;
        taken.into_iter().map(|(_, client)| client).collect()
    }

    /// What is left is served to its end.
    async fn end(mut self) {
        for (_, client) in &mut self.clients {
            client.write_all(b"more").await.unwrap();
            client.shutdown().await.unwrap();
            client.read_to_end(&mut Vec::new()).await.unwrap();
        }
        drop(self.clients);
        self.proxy.end().await;
        assert_eq!(in_flight(&self.upstream), 0);
    }
}

#[tokio::test]
async fn by_default_the_sessions_of_a_removed_backend_live_on() {
    let scene = Scene::new(20, |upstream| upstream).await;
    assert!(scene.sources.remove(scene.leaves.addr));
    let members = || scene.upstream.backends().snapshot().len();
    until("the removal", || members() == 1).await;
    assert_eq!(scene.proxy.metrics().active, 20);
    scene.end().await;
}

#[tokio::test]
async fn five_hundred_sessions_of_a_removed_backend_are_closed_and_no_other() {
    let mut scene = Scene::new(1000, |upstream| upstream.on_removed(AT_ONCE)).await;
    scene.sources.remove(scene.leaves.addr);
    for client in &mut scene.take(b'l') {
        assert_reset(client).await;
    }
    let metrics = scene.proxy.metrics();
    assert_eq!((metrics.backends_removed, metrics.active), (500, 500));
    scene.end().await;
}

#[tokio::test]
async fn a_drain_by_deadline_loses_only_what_outlasts_it() {
    let drain = Parting::Drain {
        within: Duration::from_secs(2),
        spread: Duration::from_millis(500),
    };
    let mut scene = Scene::new(100, |upstream| upstream.on_removed(drain)).await;
    scene.sources.remove(scene.leaves.addr);
    until("the removal", || {
        scene.upstream.backends().snapshot().len() == 1
    })
    .await;
    let mut leaving = scene.take(b'l');
    for mut client in leaving.drain(..25) {
        client.shutdown().await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
    }
    for client in &mut leaving {
        assert_reset(client).await;
    }
    let metrics = scene.proxy.metrics();
    assert_eq!((metrics.finished, metrics.backends_removed), (25, 25));
    scene.end().await;
}

#[tokio::test]
async fn an_unhealthy_backend_parts_from_its_sessions_if_told_so() {
    for (parting, closed) in [(AT_ONCE, 10), (Parting::Keep, 0)] {
        let mut scene = Scene::new(20, |upstream| upstream.on_unhealthy(parting)).await;
        let ill = scene.leaves.addr;
        assert!(scene.upstream.set_health(ill, Health::Unhealthy));
        assert!(!scene.upstream.set_health(ill, Health::Unhealthy));
        if closed > 0 {
            for client in &mut scene.take(b'l') {
                assert_reset(client).await;
            }
        }
        assert_eq!(scene.proxy.metrics().backends_unhealthy, closed);
        scene.end().await;
    }
}
