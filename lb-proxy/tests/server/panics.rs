//! Code of the embedder that panics outside of sessions: policies that compile, sources, checks, the pre-stop hook.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use lb_core::policy::WeightedRoundRobin;
use lb_core::{Backend, Picker, Policy, Snapshot, Tier};
use lb_discovery::{DiscoveryError, DriverConfig, Manual, SnapshotStream, Source, Static};
use lb_proxy::balancing::OverrideOrigin;
use lb_proxy::errors::BuildError;
use lb_proxy::first_bytes::{Preread, PrereadContext, PrereadError, PrereadStatus};
use lb_proxy::health::{CheckError, CheckReport, CheckSettings, HealthCheck, Probe};
use lb_proxy::reports::{Readiness, ReadinessCheck};
use lb_proxy::{Hooks, Listener, Proxy, Upstream, UpstreamBuilder};
use test_support::deadline::{eventually, ms};
use test_support::fuse::Fuse;
use test_support::log::Capture;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, eager, upstream};
use test_support::sockets::loopback;
use test_support::streams::ask;

/// A policy, a source and a check that panic once.
#[derive(Clone, Debug)]
struct Fragile(Arc<Fuse>);

impl Policy for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        self.0.burn("Policy::compile");
        WeightedRoundRobin::new().compile(tier)
    }
}

#[derive(Debug)]
struct FragileSource(Fragile, Static);

#[async_trait]
impl Source for FragileSource {
    fn label(&self) -> Arc<str> {
        "fragile".into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        self.0.0.burn("Source::watch");
        self.1.watch().await
    }
}

#[async_trait]
impl HealthCheck for Fragile {
    fn override_origin(&self) -> OverrideOrigin {
        self.0.burn("HealthCheck::override_origin");
        OverrideOrigin::HealthCheck
    }

    fn counts_timeouts(&self) -> bool {
        self.0.burn("HealthCheck::counts_timeouts");
        true
    }

    async fn check(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError> {
        self.0.burn("HealthCheck::check");
        let port = probe.backend().addr.port();
        Ok(CheckReport::default().max_conns(port.into()))
    }
}

fn detail(readiness: &Readiness, check: ReadinessCheck) -> Option<String> {
    let mut conditions = readiness.conditions().iter();
    let found = conditions.find(|condition| condition.check == check && !condition.ok);
    found.map(|condition| condition.detail.clone())
}

fn fragile(fuse: &Arc<Fuse>) -> UpstreamBuilder {
    Upstream::builder("fragile")
        .discovery_config(eager())
        .policy(Fragile(Arc::clone(fuse)))
}

/// A proxy with a listener of `upstream` and one of an upstream beside it.
async fn beside(upstream: &Upstream) -> (RunningProxy, SocketAddr) {
    let other = test_support::proxy::upstream([Backend::new(named("n").await)]);
    let proxy = Proxy::builder()
        .listen(loopback(), upstream)
        .listen(loopback(), &other);
    let proxy = RunningProxy::run(proxy).await;
    let addr = proxy.handle.local_addrs()[1];
    (proxy, addr)
}

#[tokio::test]
async fn a_policy_that_panics_while_it_compiles_leaves_the_last_membership_and_recovers() {
    let log = Capture::install();
    let nodes = [named("a").await, named("b").await].map(Backend::new);
    let one = Snapshot::from_backends([nodes[0].clone()]);
    let both = Snapshot::from_backends(nodes);
    let mut panics = 0;
    for call in [1, 2, 100] {
        let fuse = Fuse::lasting("Policy::compile", call);
        let (source, handle) = Manual::new(one.clone());
        let upstream = fragile(&fuse).discovery(source).build().unwrap();
        let (proxy, neighbour) = beside(&upstream).await;
        for n in 0..call {
            let set = if n % 2 == 0 { &both } else { &one };
            if fuse.has_blown() {
                break;
            }
            handle.set(set.clone());
            let len = set.len();
            let is_applied = || upstream.backends().snapshot().len() == len;
            eventually("the update", || fuse.has_blown() || is_applied()).await;
        }
        eventually("the panic", || upstream.policy_problem().is_some()).await;
        assert_eq!(ask(neighbour).await.unwrap(), "n");
        let readiness = proxy.handle.readiness();
        let problem = upstream.policy_problem();
        let problem = problem.expect("it panics again whenever it is tried again");
        assert!(problem.contains("Policy::compile panicked: "), "{problem}");
        let is_first = call == 1;
        assert_eq!(readiness.is_ready(), !is_first);
        let check = match is_first {
            true => ReadinessCheck::Membership,
            false => ReadinessCheck::Policies,
        };
        let text = detail(&readiness, check).unwrap();
        assert!(
            text.contains("\"fragile\"") && text.contains("panics as the test"),
            "{text}"
        );
        if !is_first {
            assert_eq!(ask(proxy.addr).await.unwrap(), "a");
        }
        fuse.mend();
        eventually("the recovery", || upstream.policy_problem().is_none()).await;
        let until_mended = upstream.policy_panics();
        assert_eq!(detail(&proxy.handle.readiness(), check), None);
        handle.set(both.clone());
        eventually("the update", || upstream.backends().snapshot().len() == 2).await;
        let mut answers = [
            ask(proxy.addr).await.unwrap(),
            ask(proxy.addr).await.unwrap(),
        ];
        answers.sort();
        assert_eq!(answers, ["a", "b"]);
        assert_eq!(upstream.policy_panics(), until_mended);
        panics += until_mended as usize;
        proxy.end().await;
    }
    let lines = log.take();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    let panicked = count("Policy panicked: the last membership stays");
    assert!((3..=panics).contains(&panicked), "{panicked}");
    assert_eq!(count("Policy recovered"), 3);
}

#[tokio::test]
async fn a_source_that_panics_is_one_that_fails() {
    let set = Snapshot::from_backends([Backend::new(named("a").await)]);
    let fuse = Fuse::armed("Source::watch", 1);
    let source = FragileSource(Fragile(Arc::clone(&fuse)), Static::new(set));
    let upstream = fragile(&fuse).discovery(source).build().unwrap();
    let (proxy, neighbour) = beside(&upstream).await;
    eventually("the panic", || upstream.discovery().sources[0].panics == 1).await;
    assert_eq!(ask(neighbour).await.unwrap(), "n");
    eventually("the backend", || !upstream.backends().snapshot().is_empty()).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    let status = upstream.discovery();
    assert_eq!(status.sources[0].failures, 1);
    assert!(status.sources[0].last_error.is_none());
    proxy.end().await;
}

#[tokio::test]
async fn a_check_that_panics_counts_as_failed_and_goes_on() {
    let (a, b) = (named("a").await, named("b").await);
    for method in [
        "HealthCheck::check",
        "HealthCheck::counts_timeouts",
        "HealthCheck::override_origin",
    ] {
        for call in [1, 2, 100] {
            // It reports the same limit each time, which is an override once.
            if method == "HealthCheck::override_origin" && call > 1 {
                continue;
            }
            let fuse = Fuse::armed(method, call);
            let settings = CheckSettings::default().interval(ms(10)).timeout(ms(200));
            let set: Snapshot = [a, b].map(Backend::new).into_iter().collect();
            let upstream = Upstream::builder("checked")
                .discovery(Static::new(set))
                .discovery_config(DriverConfig::default().debounce(Duration::ZERO))
                .health_check(Fragile(Arc::clone(&fuse)), settings)
                .build()
                .unwrap();
            let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
            if method != "HealthCheck::counts_timeouts" {
                eventually("the panic", || upstream.check_panics() == 1).await;
            }
            let probes = || -> Vec<u64> {
                let checks = upstream.health_checks();
                checks.iter().map(|check| check.probes).collect()
            };
            let before = probes();
            eventually("more probes", || {
                let now = probes();
                now.iter()
                    .zip(&before)
                    .all(|(now, before)| *now >= before + 2)
            })
            .await;
            let all: Vec<_> = upstream.health_checks();
            let failures: u64 = all.iter().map(|check| check.failures).sum();
            let expected = u64::from(method == "HealthCheck::check");
            assert_eq!(failures, expected, "{method} {call}");
            let answers = ask(proxy.addr).await.unwrap();
            assert!(["a", "b"].contains(&&*answers));
            proxy.end().await;
        }
    }
}

#[tokio::test]
async fn a_shutdown_goes_on_after_its_hook_has_panicked() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let builder = || Proxy::builder().listen(loopback(), &upstream);
    let at_once = builder().pre_stop_hook(|| -> BoxFuture<'static, ()> { panic!("no route") });
    let later = builder().pre_stop_hook(|| async { panic!("no route") });
    for proxy in [at_once, later] {
        let log = Capture::install();
        let proxy = RunningProxy::run(proxy).await;
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
        let handle = proxy.handle.clone();
        let report = proxy.end().await;
        assert_eq!((report.aborted, handle.metrics().panics), (0, 1));
        let lines = log.take();
        let text = "Pre-stop hook panicked: no route";
        assert!(lines.iter().any(|line| line.contains(text)), "{lines:?}");
    }
}

/// Hooks, a preread, a policy and a source that panic when they are described.
#[derive(Clone, Debug)]
struct Described(Arc<Fuse>);

impl Hooks for Described {
    fn reads_first_bytes(&self) -> bool {
        self.0.burn("Hooks::reads_first_bytes");
        true
    }
}

impl Preread for Described {
    fn read(&self, _: &[u8], _: &mut PrereadContext<'_>) -> Result<PrereadStatus, PrereadError> {
        Ok(PrereadStatus::More)
    }

    fn timeout(&self) -> Option<Duration> {
        self.0.burn("Preread::timeout");
        None
    }
}

impl Policy for Described {
    fn name(&self) -> &'static str {
        self.0.burn("Policy::name");
        "described"
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        self.0.burn("Policy::settings");
        Vec::new()
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        self.0.burn("Policy::compile");
        WeightedRoundRobin::new().compile(tier)
    }
}

#[async_trait]
impl Source for Described {
    fn label(&self) -> Arc<str> {
        self.0.burn("Source::label");
        "described".into()
    }

    fn identity(&self) -> Arc<str> {
        self.0.burn("Source::identity");
        "described".into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        Static::new(Snapshot::default()).watch().await
    }

    fn parts(&self) -> Option<Vec<Arc<dyn Source>>> {
        self.0.burn("Source::parts");
        None
    }
}

#[tokio::test]
async fn a_description_that_panics_is_an_error_of_its_builder() {
    let nodes = Snapshot::from_backends([Backend::new(named("a").await)]);
    // With the name that the error has.
    for (method, code) in [
        ("Hooks::reads_first_bytes", "Hooks::reads_first_bytes"),
        ("Policy::compile", "Policy::compile"),
        ("Policy::name", "Policy"),
        ("Policy::settings", "Policy"),
        ("Preread::timeout", "Preread::timeout"),
        ("Source::identity", "Source"),
        ("Source::label", "Source"),
        ("Source::parts", "Source"),
    ] {
        for call in [1, 2, 100] {
            let fuse = Fuse::armed(method, call);
            let described = Described(Arc::clone(&fuse));
            let all = Arc::new(described.clone());
            let build = || {
                let fixed = Upstream::builder("fixed").policy(described.clone());
                fixed.fixed(&nodes)?;
                let upstream = Upstream::builder("followed").policy(described.clone());
                let upstream = upstream.discovery(described.clone()).build()?;
                let listener = Listener::new(loopback(), &upstream);
                let listener = listener.hooks(Arc::clone(&all)).preread(Arc::clone(&all));
                Proxy::builder().listener(listener).build()
            };
            let mut errors = Vec::new();
            while !fuse.has_blown() {
                errors.extend(build().err());
            }
            let message = format!("{method} panics as the test wants").into();
            assert_eq!(errors, [BuildError::Panicked { code, message }], "{call}");
            assert!(build().is_ok(), "{method} {call}");
        }
    }
}
