//! Code of the embedder that panics in a session: the session ends and is counted, and nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{Backend, BackendIndex, PickContext, Picker, Policy, Snapshot, Tier};
use lb_discovery::Static;
use lb_proxy::access::ClientZone;
use lb_proxy::balancing::{HashKey, KeyPart, Queue};
use lb_proxy::events::{
    Admission, Attempt, CloseReason, Connection, Observation, Progress, RefusalDetail, Summary,
};
use lb_proxy::first_bytes::{Preread, PrereadContext, PrereadError, PrereadStatus};
use lb_proxy::routing::{RouteAction, VirtualServers};
use lb_proxy::settings::{Bandwidth, BindSource};
use lb_proxy::{Hooks, Listener, Proxy, Upstream};
use test_support::deadline::{eventually, within};
use test_support::fuse::Fuse;
use test_support::log::Capture;
use test_support::nodes::{listening, named};
use test_support::proxy::{RunningProxy, eager, in_flight, upstream};
use test_support::sockets::{loopback, refusing};
use test_support::streams::{ask, assert_reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Hooks, a preread and a policy that panic once.
#[derive(Clone, Debug)]
struct Fragile(Arc<Fuse>);

impl Hooks for Fragile {
    fn observes(&self) -> Observation {
        self.0.burn("Hooks::observes");
        Observation::Everything
    }

    fn would_refuse(&self, _: &Connection, _: &RefusalDetail) {
        self.0.burn("Hooks::would_refuse");
    }

    fn accept(&self, _: &Connection) -> Admission {
        self.0.burn("Hooks::accept");
        let later = Arc::clone(&self.0);
        Admission::later(async move {
            tokio::task::yield_now().await;
            later.burn("Admission::Later");
            Admission::Admit
        })
    }

    fn attempt(&self, _: &Connection, _: &Attempt<'_>) {
        self.0.burn("Hooks::attempt");
    }

    fn connected(&self, _: &Connection, _: &Upstream, _: &Backend) {
        self.0.burn("Hooks::connected");
    }

    fn progress(&self, _: &Connection, _: &Progress<'_>) {
        self.0.burn("Hooks::progress");
    }

    fn close(&self, _: &Connection, summary: &Summary<'_>) {
        self.0.burn("Hooks::close");
        if summary.reason == CloseReason::Panicked {
            assert!(summary.termination().to_string().starts_with('I'));
        }
    }
}

impl Preread for Fragile {
    fn read(
        &self,
        bytes: &[u8],
        _: &mut PrereadContext<'_>,
    ) -> Result<PrereadStatus, PrereadError> {
        self.0.burn("Preread::read");
        Ok(match bytes.is_empty() {
            true => PrereadStatus::More,
            false => PrereadStatus::Done { consumed: 0 },
        })
    }

    fn limit(&self) -> usize {
        self.0.burn("Preread::limit");
        64
    }

    fn timeout(&self) -> Option<Duration> {
        self.0.burn("Preread::timeout");
        None
    }

    fn names_client(&self) -> bool {
        self.0.burn("Preread::names_client");
        false
    }
}

impl Policy for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        let picker = WeightedRoundRobin::new().compile(tier);
        Box::new(FragilePicker(picker, Arc::clone(&self.0)))
    }
}

#[derive(Debug)]
struct FragilePicker(Box<dyn Picker>, Arc<Fuse>);

impl Picker for FragilePicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        self.1.burn("Picker::pick");
        self.0.pick(cx)
    }
}

/// The data of a session.
struct FragileData(Arc<Fuse>);

impl Drop for FragileData {
    fn drop(&mut self) {
        self.0.burn("Session data");
    }
}

fn fragile_upstream(addr: SocketAddr, fuse: &Arc<Fuse>) -> Upstream {
    let key = Arc::clone(fuse);
    let key = KeyPart::custom("fragile", move |_| {
        key.burn("KeyFunction");
        HashKey::none()
    });
    Upstream::builder("fragile")
        .discovery(Static::new(Snapshot::from_backends([Backend::new(addr)])))
        .discovery_config(eager())
        .policy(Fragile(Arc::clone(fuse)))
        .hash_key([key])
        .build()
        .unwrap()
}

/// A listener with everything that an embedder can write for it.
fn fragile_listener(upstream: &Upstream, fuse: &Arc<Fuse>) -> Listener {
    let all = Arc::new(Fragile(Arc::clone(fuse)));
    let fuse = || Arc::clone(fuse);
    let (matching, route, later, source) = (fuse(), fuse(), fuse(), fuse());
    let (bandwidth, data, kept) = (fuse(), fuse(), fuse());
    let matches = move |_: &Connection| {
        matching.burn("VirtualServer::matching");
        true
    };
    Listener::new(loopback(), upstream)
        .hooks(all.clone())
        .preread(all)
        .virtual_servers(VirtualServers::new().default_matching(matches))
        .route(move |_| {
            route.burn("Listener::route");
            let later = Arc::clone(&later);
            RouteAction::later(async move {
                tokio::task::yield_now().await;
                later.burn("RouteAction::Later");
                RouteAction::Default
            })
        })
        .bind_source(BindSource::computed(move |_| {
            source.burn("BindSource::computed");
            None
        }))
        .bandwidth_of(move |_| {
            bandwidth.burn("Listener::bandwidth_of");
            Bandwidth::unlimited()
        })
        .session_data(move |_| {
            data.burn("Listener::session_data");
            FragileData(Arc::clone(&kept))
        })
}

/// What a client receives that speaks first.
async fn speak(addr: SocketAddr) -> io::Result<Vec<u8>> {
    let mut client = TcpStream::connect(addr).await?;
    client.write_all(b"x").await?;
    client.shutdown().await?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Each method that runs once or more in a session that succeeds, and whether its panic ends the session.
const METHODS: &[&str] = &[
    "Admission::Later",
    "BindSource::computed",
    "Hooks::accept",
    "Hooks::attempt",
    "Hooks::close",
    "Hooks::connected",
    "Hooks::observes",
    "KeyFunction",
    "Listener::bandwidth_of",
    "Listener::route",
    "Listener::session_data",
    "Picker::pick",
    "Preread::limit",
    "Preread::names_client",
    "Preread::read",
    "Preread::timeout",
    "RouteAction::Later",
    "Session data",
    "VirtualServer::matching",
];

/// Clients until `method` has panicked at its call number `call`, and some more.
async fn panics_once(method: &'static str, call: usize, neighbour: SocketAddr) {
    let fuse = Fuse::new(method, call);
    let fragile = fragile_upstream(named("a").await, &fuse);
    let beside = upstream([Backend::new(neighbour)]);
    let proxy = Proxy::builder()
        .listener(fragile_listener(&fragile, &fuse))
        .listener(Listener::new(loopback(), &beside));
    let proxy = RunningProxy::run(proxy).await;
    let addr_beside = proxy.handle.local_addrs()[1];
    let log = Capture::install();
    fuse.arm();
    let (mut failed, mut more, mut clients) = (0, 5, 0);
    while more > 0 {
        more -= usize::from(fuse.has_blown());
        clients += 1;
        assert!(clients < 200, "{method} {call}");
        match within("the end of a session", speak(proxy.addr)).await {
            Ok(answer) if answer == b"a" => {}
            _ => failed += 1,
        }
        if clients % 20 == 1 {
            assert_eq!(ask(addr_beside).await.unwrap(), "n", "{method} {call}");
        }
    }
    eventually("the ends", || proxy.metrics().active == 0).await;
    let metrics = proxy.metrics();
    assert_eq!(metrics.panics, 1, "{method} {call}");
    assert_eq!(metrics.panicked, failed, "{method} {call}");
    let after_the_end = ["Hooks::close", "Session data"].contains(&method);
    // Hooks are asked for what they observe also at the end.
    let either = method == "Hooks::observes" && failed == 0;
    assert_eq!(
        failed,
        u64::from(!after_the_end && !either),
        "{method} {call}"
    );
    assert_eq!(metrics.accepted, metrics.ended(), "{method} {call}");
    let policy_panics = u64::from(method == "Picker::pick");
    assert_eq!(fragile.policy_panics(), policy_panics);
    eventually("the leases", || in_flight(&fragile) == 0).await;
    let lines = log.take();
    let line = lines
        .iter()
        .find(|line| line.contains("Code of the embedder panicked"));
    let line = line.unwrap_or_else(|| panic!("{method} {call}: {lines:?}"));
    assert!(line.contains(method), "{line}");
    assert!(line.contains("panics as the test wants"), "{line}");
    proxy.end().await;
}

#[tokio::test]
async fn a_panic_ends_its_session_and_leaves_all_others_alone() {
    let neighbour = named("n").await;
    for method in METHODS {
        for call in [1, 2, 100] {
            panics_once(method, call, neighbour).await;
        }
    }
}

#[tokio::test]
async fn hooks_that_panic_in_a_dry_run_or_in_an_interim_report_end_one_session() {
    for call in [1, 2, 100] {
        let fuse = Fuse::armed("Hooks::progress", call);
        let upstream = upstream([Backend::new(listening("a").await)]);
        let hooks = Arc::new(Fragile(Arc::clone(&fuse)));
        let listener = Listener::new(loopback(), &upstream)
            .hooks(hooks)
            .report_interval(Some(Duration::from_millis(100)));
        let proxy = RunningProxy::start(listener, None).await;
        let mut clients = Vec::new();
        for _ in 0..40 {
            let mut client = proxy.connect().await;
            assert_eq!(client.read_u8().await.unwrap(), b'a');
            clients.push(client);
        }
        eventually("the panic", || proxy.metrics().panicked == 1).await;
        let metrics = proxy.metrics();
        assert_eq!((metrics.panics, metrics.active), (1, 39));
        drop(clients);
        proxy.end().await;
    }
    for call in [1, 2, 100] {
        let fuse = Fuse::armed("Hooks::would_refuse", call);
        let upstream = upstream([Backend::new(listening("a").await)]);
        let zone = ClientZone::builder().build();
        let listener = Listener::new(loopback(), &upstream)
            .hooks(Arc::new(Fragile(Arc::clone(&fuse))))
            .limit_clients(&zone, 1)
            .limit_dry_run(true);
        let proxy = RunningProxy::start(listener, None).await;
        let mut first = proxy.connect().await;
        assert_eq!(first.read_u8().await.unwrap(), b'a');
        let mut failed = 0;
        for _ in 0..105 {
            failed += u64::from(proxy.connect().await.read_u8().await.is_err());
        }
        assert_eq!((failed, proxy.metrics().panicked), (1, 1));
        drop(first);
        proxy.end().await;
    }
}

/// The session that ends picks for the one that waits.
#[tokio::test]
async fn a_pick_for_a_waiting_session_that_panics_ends_that_session_alone() {
    let fuse = Fuse::new("Picker::pick", 1);
    let narrow = Backend::new(listening("a").await).max_conns(1);
    let upstream = Upstream::builder("narrow")
        .discovery(Static::new(Snapshot::from_backends([narrow])))
        .discovery_config(eager())
        .policy(Fragile(Arc::clone(&fuse)))
        .queue(Some(Queue::new(9)))
        .build()
        .unwrap();
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    let mut first = proxy.connect().await;
    assert_eq!(first.read_u8().await.unwrap(), b'a');
    let mut second = proxy.connect().await;
    eventually("the second session", || upstream.queued() == 1).await;
    let mut third = proxy.connect().await;
    eventually("the third session", || upstream.queued() == 2).await;
    fuse.arm();
    drop(first);
    assert_reset(&mut second).await;
    assert_eq!(within("the third", third.read_u8()).await.unwrap(), b'a');
    let metrics = proxy.metrics();
    assert_eq!((metrics.panics, metrics.panicked), (1, 1));
    assert_eq!(upstream.policy_panics(), 1);
    drop(third);
    proxy.end().await;
    assert_eq!(in_flight(&upstream), 0);
}

/// Picks the first backend always.
#[derive(Clone, Copy, Debug)]
struct Stubborn;

impl Policy for Stubborn {
    fn name(&self) -> &'static str {
        "stubborn"
    }

    fn compile(&self, _: &Tier) -> Box<dyn Picker> {
        Box::new(Self)
    }
}

impl Picker for Stubborn {
    fn pick(&self, _: &mut PickContext<'_>) -> Option<BackendIndex> {
        Some(BackendIndex::new(0))
    }
}

#[tokio::test]
async fn a_policy_that_picks_a_tried_or_ejected_backend_causes_no_storm() {
    let log = Capture::install();
    for limited in [false, true] {
        let (_held, dead) = refusing();
        let alive = Backend::new(named("b").await);
        let mut refuses = Backend::new(dead);
        if !limited {
            refuses = refuses.fail_limit(None);
        }
        let upstream = Upstream::builder("stubborn")
            .discovery(Static::new(Snapshot::from_backends([refuses, alive])))
            .discovery_config(eager())
            .policy(Stubborn)
            .build()
            .unwrap();
        let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
        for client in 1..=4 {
            match limited {
                // The first one is ejected, and another is free.
                true => assert_eq!(ask(proxy.addr).await.unwrap(), "b"),
                false => assert_reset(&mut proxy.connect().await).await,
            }
            let attempts = proxy.metrics().connect_attempts;
            assert_eq!(attempts, client + u64::from(limited));
        }
        proxy.end().await;
    }
    let lines = log.take();
    let repeated = lines.iter().filter(|line| line.contains("had tried"));
    assert!(repeated.count() >= 1, "{lines:?}");
}
