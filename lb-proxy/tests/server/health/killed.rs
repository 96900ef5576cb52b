//! Backends whose process is killed, and many of them.
use std::sync::{Arc, Mutex};
use std::thread;

use lb_core::{Backend, Health, Snapshot};
use lb_discovery::Static;
use lb_proxy::health::{CheckError, CheckReport, CheckState, HealthCheck, Probe, TcpCheck};
use lb_proxy::{Listener, Proxy, Upstream, Workers};
use test_support::deadline::{eventually, secs};
use test_support::nodes::named;
use test_support::proxy::RunningProxy;
use test_support::sockets::loopback;
use tokio::io::AsyncReadExt;

use super::peer::Peer;
use super::{Checked, often};

#[tokio::test]
async fn no_session_tries_a_killed_backend_after_its_check_has_failed() {
    let peer = Peer::start();
    let addrs = [peer.greeting, named("s").await];
    let scene = Checked::of(&addrs, TcpCheck::new(), often()).await;
    scene.becomes(0, Health::Healthy).await;
    let answer = async || scene.proxy.connect().await.read_u8().await.unwrap();
    eventually("both backends have passed their probes", || {
        let all = scene.statuses();
        all.iter().all(|status| status.state == CheckState::Up)
    })
    .await;
    let first = [answer().await, answer().await];
    assert!(first.contains(&b'p') && first.contains(&b's'), "{first:?}");
    drop(peer);
    // Until the check has failed, a session that tries the killed backend first goes to the other one.
    loop {
        assert_eq!(answer().await, b's');
        if scene.statuses()[0].state == CheckState::Down {
            break;
        }
    }
    scene.becomes(0, Health::Unhealthy).await;
    let failures = scene.proxy.metrics().connect_failures;
    for _ in 0..20 {
        assert_eq!(answer().await, b's');
    }
    assert_eq!(scene.proxy.metrics().connect_failures, failures);
    scene.proxy.end().await;
}

#[tokio::test]
async fn ten_thousand_backends_are_found_up_and_after_a_kill_down() {
    let peer = Peer::start();
    let upstream = peer.many(secs(1));
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    let all_are = |state| {
        let all = upstream.health_checks();
        all.len() == 10_000 && all.iter().all(|status| status.state == state)
    };
    eventually("all are up", || all_are(CheckState::Up)).await;
    assert_eq!(upstream.transitions().len(), 0);
    drop(peer);
    eventually("all are down", || all_are(CheckState::Down)).await;
    proxy.end().await;
}

/// Stores the names of the threads that it runs on.
#[derive(Clone, Debug, Default)]
struct OnThread(Arc<Mutex<Vec<String>>>);

#[async_trait::async_trait]
impl HealthCheck for OnThread {
    async fn check(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError> {
        let name = || thread::current().name().map(str::to_owned);
        let before = name();
        probe.connect().await?;
        let mut names = self.0.lock().unwrap();
        names.extend([before, name()].into_iter().flatten());
        Ok(CheckReport::default())
    }
}

#[tokio::test]
async fn no_session_shares_a_thread_with_probes_whatever_the_workers_are() {
    for workers in [Workers::CurrentRuntime, Workers::Threads(1)] {
        let check = OnThread::default();
        let backends = Snapshot::from_backends([Backend::new(named("n").await)]);
        let upstream = Upstream::builder("u")
            .discovery(Static::new(backends))
            .health_check(check.clone(), often());
        let upstream = upstream.build().unwrap();
        let proxy = Proxy::builder().listener(Listener::new(loopback(), &upstream));
        let server = proxy.workers(workers).build().unwrap();
        let server = server.bind().await.unwrap();
        eventually("two probes", || check.0.lock().unwrap().len() >= 4).await;
        drop(server);
        let names = check.0.lock().unwrap().clone();
        assert!(names.iter().all(|name| name == "lb-probes"), "{names:?}");
    }
}
