//! `Upstream::events`: each kind, in order, and without more than the bound.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{Backend, FailLimit, Health, Snapshot};
use lb_discovery::{Manual, Static};
use lb_proxy::events::{UpstreamEvent, UpstreamEvents};
use lb_proxy::{Pool, Proxy, Upstream};
use test_support::deadline::within;
use test_support::proxy::{RunningProxy, reload};
use test_support::sockets::loopback;

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A pool of two backends, ejected for `period` after one failure.
fn fixed(period: Duration) -> Pool {
    let limit = FailLimit::new(NonZeroU32::MIN, period);
    let upstream = Upstream::builder("events")
        .policy(WeightedRoundRobin::new())
        .fail_limit(Some(limit));
    let upstream = upstream.fixed(&Snapshot::from_addrs([addr(1), addr(2)]));
    upstream.unwrap().spawn().unwrap()
}

fn kinds(events: &mut UpstreamEvents) -> Vec<String> {
    std::iter::from_fn(|| events.try_next().map(|event| text(&event))).collect()
}

fn text(event: &UpstreamEvent) -> String {
    match event {
        UpstreamEvent::Ejected { backend, .. } => format!("ejected {}", backend.addr.port()),
        UpstreamEvent::Forgiven { backends } => format!("forgiven {backends}"),
        UpstreamEvent::Health { backend, health } => {
            format!("{health:?} {}", backend.addr.port())
        }
        UpstreamEvent::Membership { delta, backends } => format!(
            "{backends}: +{} ~{} -{}",
            delta.added.len(),
            delta.changed.len(),
            delta.removed.len()
        ),
        UpstreamEvent::Recovered { backend } => format!("recovered {}", backend.addr.port()),
        UpstreamEvent::Reloaded => "reloaded".to_owned(),
        _ => "?".to_owned(),
    }
}

#[tokio::test]
async fn an_ejected_backend_recovers_with_the_first_connection_after_its_ejection() {
    let pool = fixed(Duration::from_millis(20));
    let mut events = pool.upstream().events();
    let mut other = pool.upstream().events();
    let (one, two) = (pool.pick(b"").unwrap(), pool.pick(b"").unwrap());
    let one_again = pool.pick(b"").unwrap();
    one.failed();
    match events.try_next() {
        Some(UpstreamEvent::Ejected { backend, period }) => {
            assert_eq!(backend.addr, addr(1));
            assert!(period <= Duration::from_millis(21), "{period:?}");
        }
        other => panic!("{other:?}"),
    }
    two.connected();
    assert!(kinds(&mut events).is_empty(), "of another backend");
    one_again.connected();
    assert!(
        kinds(&mut events).is_empty(),
        "a connection from before, while it is ejected"
    );
    let recovered = async {
        loop {
            pool.pick(b"").unwrap().connected();
            if let Some(event) = events.try_next() {
                return text(&event);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(within("the recovery", recovered).await, "recovered 1");
    pool.pick(b"").unwrap().connected();
    pool.pick(b"").unwrap().connected();
    assert!(kinds(&mut events).is_empty());
    assert_eq!(kinds(&mut other), ["ejected 1", "recovered 1"]);
}

#[tokio::test]
async fn a_forgiven_ejection_is_a_recovery_and_a_removed_backend_has_none() {
    let pool = fixed(Duration::from_secs(3600));
    let mut events = pool.upstream().events();
    pool.pick(b"").unwrap().unanswered();
    pool.upstream().forgive_unanswered();
    assert_eq!(
        kinds(&mut events),
        ["ejected 1", "recovered 1", "forgiven 1"]
    );

    let (source, handle) = Manual::new(Snapshot::from_addrs([addr(1), addr(2)]));
    let pool = Pool::spawn(WeightedRoundRobin::new(), source).unwrap();
    pool.ready().await;
    let mut events = pool.upstream().events();
    let (one, two) = (pool.pick(b"").unwrap(), pool.pick(b"").unwrap());
    one.failed();
    handle.remove(addr(1));
    let changed = async {
        let mut pool = pool.clone();
        while pool.status().backends().count() > 1 {
            pool.changed().await;
        }
    };
    within("the removal", changed).await;
    two.connected();
    assert_eq!(kinds(&mut events), ["ejected 1", "1: +0 ~0 -1"]);
}

#[tokio::test]
async fn health_and_membership_are_events() {
    let (source, handle) = Manual::new(Snapshot::from_addrs([addr(1)]));
    let upstream = Upstream::builder("events").discovery(source);
    let upstream = upstream.build().unwrap();
    let mut events = upstream.events();
    let pool = upstream.spawn().unwrap();
    pool.ready().await;
    assert_eq!(kinds(&mut events), ["1: +1 ~0 -0"]);
    assert!(upstream.set_health(addr(1), Health::Unhealthy));
    assert!(!upstream.set_health(addr(1), Health::Unhealthy));
    assert_eq!(kinds(&mut events), ["Unhealthy 1"]);
    handle.add(Backend::new(addr(2)));
    let next = within("the change", events.next()).await.unwrap();
    assert_eq!(text(&next), "2: +1 ~0 -0");
    drop((pool, upstream));
    let end = within("the end", async { while events.next().await.is_some() {} });
    end.await;
    assert_eq!(events.lost(), 0);
}

#[tokio::test]
async fn a_reload_keeps_subscriptions_and_is_an_event_if_it_changed_something() {
    let described = |ports: &[u16]| {
        let addrs = ports.iter().copied().map(addr);
        let source = Static::new(Snapshot::from_addrs(addrs));
        let upstream = Upstream::builder("events")
            .discovery(source)
            .fingerprint("1");
        let upstream = upstream.build().unwrap();
        let proxy = Proxy::builder().listen(loopback(), &upstream);
        (upstream, proxy)
    };
    let (upstream, proxy) = described(&[1, 2]);
    let proxy = RunningProxy::run(proxy).await;
    upstream.ready().await;
    let mut events = upstream.events();
    let (same, to) = described(&[1, 2]);
    let mut early = same.events();
    reload(&proxy, to).await.unwrap();
    assert!(kinds(&mut events).is_empty(), "nothing has changed");
    let (_, to) = described(&[1]);
    reload(&proxy, to).await.unwrap();
    for events in [&mut events, &mut early] {
        let first = within("the reload", events.next()).await.unwrap();
        assert_eq!(text(&first), "reloaded");
        let next = within("the membership", events.next()).await.unwrap();
        assert_eq!(text(&next), "1: +0 ~0 -1");
    }
    proxy.end().await;
}

#[test]
fn a_slow_subscriber_loses_the_oldest_events_and_knows_how_many() {
    let pool = fixed(Duration::from_secs(3600));
    let mut events = pool.upstream().events();
    for number in 0..600 {
        let health = [Health::Unhealthy, Health::Healthy][number % 2];
        assert!(pool.upstream().set_health(addr(1), health));
    }
    let kept = kinds(&mut events);
    assert_eq!((kept.len(), events.lost()), (256, 344));
    assert_eq!(kept[0], "Unhealthy 1");
    assert_eq!(kept[255], "Healthy 1");
}
