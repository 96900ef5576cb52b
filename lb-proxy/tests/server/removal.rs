//! Sessions of a backend that is removed, unhealthy or ejected.

use std::time::Duration;

use lb_core::{Backend, Health};
use lb_discovery::{Manual, ManualHandle};
use lb_proxy::balancing::OnBackendLoss;
use lb_proxy::{Listener, Upstream, UpstreamBuilder};
use test_support::deadline::eventually;
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, eager, in_flight};
use test_support::sockets::loopback;
use test_support::streams::assert_reset;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const AT_ONCE: OnBackendLoss = OnBackendLoss::Close {
    spread: Duration::ZERO,
};

/// A proxy over a backend that is removed and one that stays.
struct Scene {
    sources: ManualHandle,
    leaves: Backend,
    upstream: Upstream,
    proxy: RunningProxy,
    clients: Vec<(u8, TcpStream)>,
}

impl Scene {
    async fn new(
        sessions: usize,
        settings: impl FnOnce(UpstreamBuilder) -> UpstreamBuilder,
    ) -> Self {
        let leaves = Backend::new(listening("l").await);
        let stays = Backend::new(listening("s").await);
        let (manual, sources) = Manual::new([leaves.clone(), stays].into_iter().collect());
        let builder = Upstream::builder("scene")
            .discovery(manual)
            .policy(lb_core::policy::WeightedRoundRobin::new())
            .discovery_config(eager());
        let upstream = settings(builder).build().unwrap();
        let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
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

    /// Serves the remaining sessions to their end.
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
async fn by_default_the_sessions_of_a_removed_backend_stay_open() {
    let scene = Scene::new(20, |upstream| upstream).await;
    assert!(scene.sources.remove(scene.leaves.addr));
    let members = || scene.upstream.backends().snapshot().len();
    eventually("the removal", || members() == 1).await;
    assert_eq!(scene.proxy.metrics().active, 20);
    scene.end().await;
}

#[tokio::test]
async fn five_hundred_sessions_of_a_removed_backend_are_closed_and_no_other_session_session_session()
 {
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
async fn a_drain_with_a_deadline_resets_only_sessions_that_outlast_it() {
    let drain = OnBackendLoss::Drain {
        within: Duration::from_secs(2),
        spread: Duration::from_millis(500),
    };
    let mut scene = Scene::new(100, |upstream| upstream.on_removed(drain)).await;
    scene.sources.remove(scene.leaves.addr);
    eventually("the removal", || {
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

/// How many of 500 sessions of a removed backend are open after each of ten seconds; 500 of another one stay.
async fn curve(parting: OnBackendLoss) -> Vec<u64> {
    let mut scene = Scene::new(1000, |upstream| upstream.on_removed(parting)).await;
    tokio::time::pause();
    scene.sources.remove(scene.leaves.addr);
    let members = || scene.upstream.backends().snapshot().len();
    eventually("the removal", || members() == 1).await;
    let mut curve = Vec::new();
    for _ in 0..=10 {
        // tokio rounds timers up to the millisecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
        curve.push(scene.proxy.metrics().active - 500);
        tokio::time::sleep(Duration::from_millis(998)).await;
    }
    tokio::time::resume();
    if parting != OnBackendLoss::Keep {
        for client in &mut scene.take(b'l') {
            assert_reset(client).await;
        }
    }
    assert_eq!(scene.proxy.metrics().backends_removed, 500 - curve[10]);
    scene.end().await;
    curve
}

#[tokio::test]
async fn five_hundred_sessions_end_at_the_times_of_the_setting() {
    let [within, spread] = [8, 4].map(Duration::from_secs);
    let line = |second: usize, from: f64, to: f64| {
        let share = (to - second as f64) / (to - from);
        500.0 * share.clamp(0.0, 1.0)
    };
    let expected: [(OnBackendLoss, &dyn Fn(usize) -> f64); 3] = [
        (OnBackendLoss::Keep, &|_| 500.0),
        (OnBackendLoss::Drain { within, spread }, &|s| {
            line(s, 4.0, 8.0)
        }),
        (OnBackendLoss::Close { spread }, &|s| line(s, 0.0, 4.0)),
    ];
    for (parting, line) in expected {
        let curve = curve(parting).await;
        for (second, open) in curve.iter().enumerate() {
            let off = (*open as f64 - line(second)).abs();
            assert!(off <= 3.0, "{parting:?} after {second} s: {curve:?}");
        }
    }
}

#[tokio::test]
async fn an_unhealthy_backend_closes_its_sessions_if_configured() {
    for (parting, closed) in [(AT_ONCE, 10), (OnBackendLoss::Keep, 0)] {
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
