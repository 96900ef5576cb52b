//! Figures that Prometheus has scraped during chaos, against those that the clients counted.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{Backend, Health, Snapshot};
use lb_discovery::{Manual, ManualHandle};
use lb_proxy::access::Access;
use lb_proxy::admin::{Admin, AdminListener, AdminSettings};
use lb_proxy::health::{CheckSettings, TcpCheck};
use lb_proxy::{Listener, Proxy, ProxyBuilder, Timeouts, Upstream};
use test_support::deadline::{eventually, ms, within};
use test_support::promtool::check_metrics;
use test_support::proxy::{RunningProxy, eager, reload};
use test_support::sockets::{loopback, refusing};

use super::clients::{Behaviour, ClientTotals};
use super::echo;
use super::expected::{PLACES, Place, endings, failures, sums};
use super::process::Prometheus;
use crate::admin::tcp;

/// What is described, and its upstreams.
struct ChaosScene {
    chaos: Upstream,
    clean: Upstream,
    lost: Upstream,
    ejecting: Upstream,
    checked: Upstream,
    /// Changes the backends of the first upstream.
    handle: ManualHandle,
    /// The backends of the first upstream: dead, leaving, staying.
    backends: [SocketAddr; 3],
}

impl ChaosScene {
    async fn new(dead: [SocketAddr; 2]) -> Self {
        let backends = [dead[0], echo(0).await, echo(5).await];
        let works = echo(0).await;
        // The dead backend is tried again and again.
        let (chaos, handle) = pool("chaos", backends.map(untiring), |builder| builder);
        let plain = |name, backends: &[SocketAddr]| {
            let backends = backends.iter().copied().map(Backend::new);
            pool(name, backends, |builder| builder).0
        };
        let check = CheckSettings::default().interval(ms(50)).fall(1);
        let (checked, _) = pool("checked", [works, dead[1]].map(untiring), |builder| {
            builder.health_check(TcpCheck::new(), check)
        });
        Self {
            chaos,
            clean: plain("clean", &[works]),
            lost: plain("lost", &dead),
            ejecting: plain("ejecting", &[dead[0], works]),
            checked,
            handle,
            backends,
        }
    }

    /// The proxy with its listeners at `addrs`.
    fn described(&self, addrs: &[SocketAddr]) -> ProxyBuilder {
        let at = |place: Place, upstream| Listener::new(addrs[place as usize], upstream);
        let idle = Timeouts::default().idle(Some(ms(200)));
        let listeners = [
            at(Place::Chaos, &self.chaos),
            at(Place::Clean, &self.clean),
            at(Place::Idle, &self.clean).timeouts(idle),
            at(Place::Lost, &self.lost),
            at(Place::Ejecting, &self.ejecting),
            at(Place::Checked, &self.checked),
            at(Place::Denied, &self.clean).access(Access::new().deny(loopback().ip())),
        ];
        let proxy = listeners
            .into_iter()
            .fold(Proxy::builder(), ProxyBuilder::listener);
        proxy.detailed_metrics(true).track_sessions(true)
    }

    /// Takes the second backend of the first upstream away.
    fn remove_one(&self) {
        let [dead, _, staying] = self.backends;
        let left = [dead, staying].map(untiring);
        self.handle.set(Snapshot::from_backends(left));
    }
}

fn untiring(addr: SocketAddr) -> Backend {
    Backend::new(addr).fail_limit(None)
}

fn pool(
    name: &str,
    backends: impl IntoIterator<Item = Backend>,
    describe: impl FnOnce(lb_proxy::UpstreamBuilder) -> lb_proxy::UpstreamBuilder,
) -> (Upstream, ManualHandle) {
    let (source, handle) = Manual::new(Snapshot::from_backends(backends));
    let builder = Upstream::builder(name)
        .discovery(source)
        .discovery_config(eager())
        .policy(WeightedRoundRobin::new());
    (describe(builder).build().unwrap(), handle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sums_of_a_real_prometheus_are_what_the_clients_saw() {
    let Some(program) = std::env::var_os("LB_TEST_PROMETHEUS").map(PathBuf::from) else {
        eprintln!("skipped: LB_TEST_PROMETHEUS is not set");
        return;
    };
    let (_held, dead) = refusing();
    let (_other_held, other) = refusing();
    let scene = ChaosScene::new([dead, other]).await;
    let proxy = RunningProxy::run(scene.described(&[loopback(); PLACES])).await;
    let addrs = proxy.handle.local_addrs();
    let listener = AdminListener::open(&AdminSettings::tcp(loopback())).unwrap();
    let admin = Admin::builder(proxy.handle.clone()).build().serve(listener);
    let target = admin.endpoint().key();
    let scrape = async |path| {
        let answer = tcp(
            target,
            "GET",
            path,
            "host: localhost\r\naccept: text/plain\r\n",
        )
        .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    check_metrics(&program, &scrape("/metrics").await);
    let prometheus = Prometheus::start(&program, target);
    becomes_unhealthy(&scene.checked, other).await;

    let seen: [Arc<ClientTotals>; PLACES] = Default::default();
    for round in 0..40 {
        run_clients(&addrs, &seen).await;
        match round {
            20 => scene.remove_one(),
            25 => {
                let applied = reload(&proxy, scene.described(&addrs)).await.unwrap();
                assert_eq!(applied.listeners.kept.len(), PLACES, "{applied:?}");
                proxy.handle.note_failed_reload("a broken file");
            }
            _ if round % 10 == 5 => prometheus.scrapes_more(2).await,
            _ => {}
        }
    }
    eventually("the last session", || proxy.metrics().active == 0).await;
    let metrics = proxy.metrics();
    let expected = [
        sums(&proxy, &seen),
        endings(&addrs, &seen),
        failures(&proxy, other, &seen),
    ]
    .concat();
    for (query, value) in &expected {
        prometheus.wait_for(query, *value).await;
    }
    let patient = &seen[Place::Chaos as usize];
    let heard = patient.heard.load(Relaxed);
    assert!(heard > 0 && heard <= patient.sent.load(Relaxed));
    assert!(
        metrics.connect_failures > 0 && metrics.backend_resets > 0 && metrics.ejections > 0,
        "{metrics:?}"
    );
    // The last values of the backend that left: its sessions, all of which had begun before.
    let leaving = scene.backends[1];
    let left = format!(
        "max_over_time(lb_backend_connect_attempts_total{{backend=\"{leaving}\",outcome=\"connected\"}}[1h])"
    );
    assert!(prometheus.query(&left).await > Some(0.0));
    let now = format!("lb_backend_connect_attempts_total{{backend=\"{leaving}\"}}");
    prometheus.wait_for_none(&now).await;
    check_metrics(&program, &scrape("/metrics").await);
    check_sockets(&program, &addrs, scrape).await;
    assert_eq!(prometheus.query("up").await, Some(1.0));
    assert_eq!(prometheus.query("min_over_time(up[1h])").await, Some(1.0));
    eprintln!(
        "scrapes {:?}, sums {expected:?}",
        prometheus.query("count_over_time(up[1h])").await
    );
    admin.stop().await;
    proxy.end().await;
}

/// A round of clients, of each kind some.
async fn run_clients(addrs: &[SocketAddr], seen: &[Arc<ClientTotals>; PLACES]) {
    let patient = (1..20).map(|number| (Place::Chaos, Behaviour::Patient(number * 997)));
    let others = [
        (Place::Clean, Behaviour::Reset),
        (Place::Clean, Behaviour::Close),
        (Place::Idle, Behaviour::Silent),
        (Place::Lost, Behaviour::Expect),
        (Place::Ejecting, Behaviour::Close),
        (Place::Checked, Behaviour::Close),
        (Place::Denied, Behaviour::Expect),
    ];
    let clients = patient.chain(others).map(|(place, behaviour)| {
        let (seen, addr) = (Arc::clone(&seen[place as usize]), addrs[place as usize]);
        tokio::spawn(async move { seen.run(addr, behaviour).await })
    });
    for client in clients.collect::<Vec<_>>() {
        within("a client", client).await.unwrap();
    }
}

async fn becomes_unhealthy(upstream: &Upstream, addr: SocketAddr) {
    let is_unhealthy = || {
        let set = upstream.backends();
        let mut status = set.status(upstream.now());
        status.any(|one| one.backend.addr == addr && one.health == Health::Unhealthy)
    };
    eventually("the failing health check", is_unhealthy).await;
}

/// Checks the metrics with those of a sample of sockets while a session is open.
async fn check_sockets(
    program: &Path,
    addrs: &[SocketAddr],
    scrape: impl AsyncFn(&'static str) -> String,
) {
    let client = tokio::net::TcpStream::connect(addrs[Place::Clean as usize])
        .await
        .unwrap();
    let text = async {
        loop {
            let text = scrape("/metrics?sockets=100").await;
            if text.contains("lb_upstream_socket_rtt") {
                return text;
            }
        }
    };
    let text = within("a socket", text).await;
    check_metrics(program, &text);
    drop(client);
}
