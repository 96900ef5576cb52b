//! Reloads that change upstreams: policies, settings, keys and sources.

use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::PolicyKind;
use lb_core::{Backend, BalancerConfig, Snapshot, ZonePreference};
use lb_discovery::Static;
use lb_proxy::balancing::{HashKey, KeyPart};
use lb_proxy::{Proxy, Upstream};
use test_support::deadline::eventually;
use test_support::discovery::{Script, Watch};
use test_support::nodes::{listening, named};
use test_support::proxy::{RunningProxy, in_flight, pool, reload, round_robin};
use test_support::sockets::loopback;
use test_support::streams::ask;
use tokio::io::AsyncReadExt;

use crate::reload::answered_by;

#[tokio::test]
async fn an_upstream_keeps_its_state_under_new_settings() {
    let (stays, comes) = (listening("s").await, listening("c").await);
    let old = round_robin("pool", stays);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &old)).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        assert_eq!(client.read_u8().await.unwrap(), b's');
        held.push(client);
    }
    let new = pool("pool", PolicyKind::LeastConn, [(stays, 1), (comes, 1)]);
    reload(&proxy, Proxy::builder().listen(proxy.addr, &new))
        .await
        .unwrap();
    eventually("the new backend", || old.backends().snapshot().len() == 2).await;
    // Both handles refer to one pool, which counts the earlier connections: the new backend gets five to be even.
    assert_eq!((in_flight(&new), in_flight(&old)), (5, 5));
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        assert_eq!(client.read_u8().await.unwrap(), b'c');
        held.push(client);
    }
    assert_eq!(in_flight(&new), 10);
    drop(held);
    proxy.end().await;
    assert_eq!(in_flight(&old), 0);
}

#[tokio::test]
async fn a_reload_changes_the_balancer_config_too() {
    let (near, far) = (named("n").await, named("f").await);
    let in_zones = |config| {
        let backends = [(near, "a"), (far, "b")];
        let backends = backends.map(|(addr, zone)| Backend::new(addr).zone(zone));
        Upstream::builder("pool")
            .discovery(Static::new(Snapshot::from_backends(backends)))
            .policy(PolicyKind::WeightedRoundRobin.build())
            .balancer_config(config)
            .build()
            .unwrap()
    };
    let zone = BalancerConfig::default().zone(ZonePreference::new("b"));
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &in_zones(zone))).await;
    for _ in 0..4 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "f");
    }
    let anywhere = in_zones(BalancerConfig::default());
    reload(&proxy, Proxy::builder().listen(proxy.addr, &anywhere))
        .await
        .unwrap();
    answered_by(proxy.addr, "n").await;
    proxy.end().await;
}

/// An upstream with this source.
fn scripted(source: &Arc<Script>, policy: PolicyKind, fingerprint: &str) -> Upstream {
    let upstream = Upstream::builder("scripted").discovery(Arc::clone(source));
    let upstream = upstream.policy(policy.build()).fingerprint(fingerprint);
    upstream.build().unwrap()
}

fn backends(upstream: &Upstream) -> usize {
    upstream.discovery().sources[0].backends
}

#[tokio::test]
async fn an_upstream_with_an_equal_description_keeps_its_sources_and_one_that_differs_changes() {
    let node = Snapshot::from_backends([Backend::new(named("a").await)]);
    let source = || Script::new([Watch::Sets(vec![(Duration::ZERO, node.clone())])]);
    let first = source();
    let upstream = scripted(&first, PolicyKind::WeightedRoundRobin, "1");
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &upstream)).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");

    let same = source();
    let described = scripted(&same, PolicyKind::WeightedRoundRobin, "1");
    let to = Proxy::builder().listen(proxy.addr, &described);
    let upstreams = reload(&proxy, to).await.unwrap().upstreams;
    assert_eq!(upstreams.kept, ["scripted".into()]);
    // The new handle means the running pool.
    assert_eq!(backends(&described), 1);
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    assert_eq!((first.opens(), same.opens()), (1, 0));

    for (policy, fingerprint) in [
        (PolicyKind::Random, "1"),
        (PolicyKind::Random, "2"),
        (PolicyKind::WeightedRoundRobin, "2"),
    ] {
        let other = source();
        let described = scripted(&other, policy, fingerprint);
        let to = Proxy::builder().listen(proxy.addr, &described);
        let upstreams = reload(&proxy, to).await.unwrap().upstreams;
        assert_eq!(upstreams.changed, ["scripted".into()]);
        eventually("the new source is followed", || other.opens() == 1).await;
    }
    let to = Proxy::builder().listen(proxy.addr, &round_robin("another", named("b").await));
    let upstreams = reload(&proxy, to).await.unwrap().upstreams;
    assert_eq!(upstreams.added, ["another".into()]);
    assert_eq!(upstreams.removed, ["scripted".into()]);
    proxy.end().await;
}

#[tokio::test]
async fn a_key_function_of_the_same_identity_replaces_the_former_one_and_keeps_the_upstream() {
    let nodes = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut backends = Vec::new();
    for node in nodes {
        backends.push(Backend::new(named(node).await).name(node));
    }
    let hashed = |identity: &str, key: &'static str| {
        Upstream::builder("hashed")
            .discovery(Static::new(backends.iter().cloned().collect()))
            .policy(PolicyKind::Maglev.build())
            .hash_key([KeyPart::custom(identity, |_| {
                HashKey::from_bytes(key.as_bytes())
            })])
            .fingerprint("")
            .build()
            .unwrap()
    };
    let running = hashed("key", "one");
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &running)).await;
    eventually("the membership", || running.explain(b"").is_ok()).await;
    let chosen = |key: &str| running.explain(key.as_bytes()).unwrap().chosen.unwrap();
    let name = |key: &str| {
        let index = backends
            .iter()
            .position(|backend| backend.addr == chosen(key));
        nodes[index.unwrap()]
    };
    let other = ["two", "three", "four", "five"];
    let other = other
        .into_iter()
        .find(|key| name(key) != name("one"))
        .unwrap();
    assert_eq!(ask(proxy.addr).await.unwrap(), name("one"));
    for (identity, is_kept) in [("key", true), ("another key", false)] {
        let to = Proxy::builder().listen(proxy.addr, &hashed(identity, other));
        let upstreams = reload(&proxy, to).await.unwrap().upstreams;
        assert_eq!(
            (upstreams.kept.len(), upstreams.changed.len()),
            (is_kept.into(), (!is_kept).into())
        );
        assert_eq!(ask(proxy.addr).await.unwrap(), name(other));
    }
    proxy.end().await;
}

#[tokio::test]
async fn a_source_that_fails_is_asked_again_by_a_reload_of_the_same_description() {
    let node = Snapshot::from_backends([Backend::new(named("a").await)]);
    let failing = Script::new([Watch::Fail]);
    let upstream = scripted(&failing, PolicyKind::WeightedRoundRobin, "1");
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &upstream)).await;
    let has_failed = || upstream.discovery().sources[0].last_error.is_some();
    eventually("the source has failed", has_failed).await;
    let repaired = Script::new([Watch::Sets(vec![(Duration::ZERO, node)])]);
    let described = scripted(&repaired, PolicyKind::WeightedRoundRobin, "1");
    let to = Proxy::builder().listen(proxy.addr, &described);
    let upstreams = reload(&proxy, to).await.unwrap().upstreams;
    assert_eq!(upstreams.kept, ["scripted".into()]);
    eventually("the source has answered", || backends(&upstream) == 1).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    proxy.end().await;
}
