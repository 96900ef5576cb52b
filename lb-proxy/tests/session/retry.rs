//! Retries: the backend that a session gets when attempts fail.

use std::num::NonZeroU32;
use std::time::Duration;

use lb_core::policy::{Maglev, WeightedRoundRobin};
use lb_core::{
    AdminState, Backend, BalancerConfig, FailLimit, OutlierDetection, PickError, Priority,
    Snapshot, Verdict,
};
use lb_discovery::{Manual, Static};
use lb_proxy::{Listener, Retry, Timeouts, Upstream};
use test_support::deadline::eventually;
use test_support::nodes::{named, serve};
use test_support::proxy::{RunningProxy, eager, upstream};
use test_support::sockets::{BlackHole, loopback, refusing};
use test_support::streams::ask;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

#[tokio::test]
async fn connections_go_to_the_backends_in_turn() {
    let nodes = [named("a").await, named("b").await, named("c").await];
    let proxy = RunningProxy::over(nodes).await;
    let mut answers = String::new();
    for _ in 0..6 {
        answers += &ask(proxy.addr).await.unwrap();
    }
    assert_eq!(answers, "abcabc");
    proxy.end().await;
}

#[tokio::test]
async fn a_hashing_policy_keeps_a_client_on_one_backend() {
    let nodes = [named("a").await, named("b").await, named("c").await];
    let upstream = Upstream::builder("hashed")
        .discovery(Static::new(nodes.into_iter().map(Backend::new).collect()))
        .policy(Maglev::new())
        .build()
        .unwrap();
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    let first = ask(proxy.addr).await.unwrap();
    for _ in 0..8 {
        assert_eq!(ask(proxy.addr).await.unwrap(), first);
    }
    proxy.end().await;
}

#[tokio::test]
async fn a_refused_connection_goes_to_the_next_backend() {
    let (_held, dead) = refusing();
    let proxy = RunningProxy::over([dead, named("b").await, named("c").await]).await;
    let mut answers = String::new();
    for _ in 0..6 {
        answers += &ask(proxy.addr).await.unwrap();
    }
    assert_eq!(answers, "bcbcbc");
    let metrics = proxy.metrics();
    assert_eq!((metrics.connect_failures, metrics.ejections), (1, 1));
    assert_eq!(metrics.connect_attempts, 7);
    proxy.end().await;
}

#[tokio::test]
async fn a_backend_that_never_answers_costs_the_connect_timeout_once() {
    let hole = BlackHole::open();
    let upstream = upstream([Backend::new(hole.addr), Backend::new(named("b").await)]);
    let timeouts = Timeouts::default().connect(Duration::from_millis(200));
    let listener = Listener::new(loopback(), &upstream).timeouts(timeouts);
    let proxy = RunningProxy::start(listener, None).await;
    for _ in 0..4 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "b");
    }
    let metrics = proxy.metrics();
    assert_eq!((metrics.connect_timeouts, metrics.ejections), (1, 1));
    proxy.end().await;
}

#[tokio::test]
async fn a_recovered_backend_serves_again_after_its_ejection() {
    let (held, addr) = refusing();
    let limit = FailLimit::new(NonZeroU32::MIN, Duration::from_millis(200));
    let recovering = Backend::new(addr).fail_limit(Some(limit));
    let upstream = upstream([recovering, Backend::new(named("b").await)]);
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "b");
    let ejected = || {
        upstream
            .backends()
            .status(upstream.now())
            .next()
            .unwrap()
            .ejected_until
            .is_some()
    };
    assert!(ejected());
    held.listen(16).unwrap();
    held.set_nonblocking(true).unwrap();
    serve("a", TcpListener::from_std(held.into()).unwrap());
    eventually("the end of the ejection", || !ejected()).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(ask(proxy.addr).await.unwrap());
    }
    // nginx's order: the failed attempt counts as its turn, and its damped weight is still 0 in the first pick.
    assert_eq!(answers, ["b", "b", "a", "b"]);
    assert_eq!(proxy.metrics().ejections, 1);
    proxy.end().await;
}

#[tokio::test]
async fn two_backends_that_restart_together_serve_as_soon_as_one_is_up() {
    let restarting = [refusing(), refusing()];
    let addrs = [restarting[0].1, restarting[1].1];
    let upstream = upstream(addrs.map(Backend::new));
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    for _ in 0..3 {
        ask(proxy.addr).await.unwrap_err();
    }
    let ejected = || {
        let set = upstream.backends();
        let status = set.status(upstream.now());
        status.filter(|one| one.ejected_until.is_some()).count()
    };
    assert_eq!(ejected(), 2);
    let [(held, _), _other] = restarting;
    held.listen(16).unwrap();
    held.set_nonblocking(true).unwrap();
    serve("a", TcpListener::from_std(held.into()).unwrap());
    for _ in 0..4 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    }
    assert_eq!(ejected(), 1);
    proxy.end().await;
}

#[tokio::test]
async fn a_fail_limit_of_the_upstream_replaces_those_of_its_backends() {
    let (_held, dead) = refusing();
    let backends = [Backend::new(dead), Backend::new(named("b").await)];
    let limit = FailLimit::new(NonZeroU32::new(3).unwrap(), Duration::from_secs(10));
    for (limit, failures) in [(Some(limit), 3), (None, 6)] {
        let upstream = Upstream::builder("limited")
            .discovery(Static::new(backends.iter().cloned().collect()))
            .discovery_config(eager())
            .policy(WeightedRoundRobin::new())
            .fail_limit(limit)
            .balancer_config(BalancerConfig::default())
            .build()
            .unwrap();
        let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
        let mut failed = 0;
        while failed < failures {
            assert_eq!(ask(proxy.addr).await.unwrap(), "b");
            failed = proxy.metrics().connect_failures;
        }
        let ejections = u64::from(limit.is_some());
        assert_eq!(proxy.metrics().ejections, ejections);
        proxy.end().await;
    }
}

#[tokio::test]
async fn an_outlier_is_ejected_and_explained() {
    let (_held, dead) = refusing();
    let lively = named("b").await;
    let endless = Backend::new(dead).fail_limit(None);
    let snapshot = Snapshot::from_backends([endless, Backend::new(lively)]);
    let detection = OutlierDetection::default()
        .consecutive_failures(3)
        .max_ejected_percent(50);
    let upstream = Upstream::builder("outliers")
        .discovery(Static::new(snapshot))
        .policy(WeightedRoundRobin::new())
        .balancer_config(BalancerConfig::default().outlier_detection(detection))
        .build()
        .unwrap();
    assert_eq!(upstream.explain(b"").unwrap_err(), PickError::NotReady);
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    for _ in 0..12 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "b");
    }
    let metrics = proxy.metrics();
    assert_eq!((metrics.connect_failures, metrics.ejections), (3, 1));
    let explanation = upstream.explain(b"").unwrap();
    assert_eq!(explanation.chosen, Some(lively));
    let verdict = explanation.backends[0].verdict;
    assert!(matches!(verdict, Verdict::Ejected { .. }), "{verdict:?}");
    proxy.end().await;
}

#[tokio::test]
async fn without_any_backend_the_client_is_reset() {
    let (_held, dead) = refusing();
    let proxy = RunningProxy::over([dead]).await;
    let error = ask(proxy.addr).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    eventually("the count", || proxy.metrics().no_backend == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn tries_are_limited() {
    let (_held_a, a) = refusing();
    let (_held_b, b) = refusing();
    let upstream = upstream([a, b, named("c").await].map(Backend::new));
    let retry = Retry::default().tries(2);
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream).retry(retry), None).await;
    ask(proxy.addr).await.unwrap_err();
    assert_eq!(proxy.metrics().connect_attempts, 2);
    assert_eq!(ask(proxy.addr).await.unwrap(), "c");
    proxy.end().await;
}

#[tokio::test]
async fn the_deadline_ends_all_attempts_and_the_last_does_not_count_against_its_backend() {
    let hole = BlackHole::open();
    let upstream = upstream([Backend::new(hole.addr), Backend::new(named("b").await)]);
    let retry = Retry::default().deadline(Some(Duration::from_millis(200)));
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream).retry(retry), None).await;
    ask(proxy.addr).await.unwrap_err();
    let metrics = proxy.metrics();
    assert_eq!((metrics.connect_attempts, metrics.ejections), (1, 0));
    proxy.end().await;
}

#[tokio::test]
async fn a_full_backend_is_skipped_and_backups_serve() {
    let full = Backend::new(named("a").await).max_conns(1);
    let spare = Backend::new(named("b").await).priority(Priority::BACKUP);
    let upstream = upstream([full, spare]);
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    let mut first = proxy.connect().await;
    assert_eq!(first.read_u8().await.unwrap(), b'a');
    assert_eq!(ask(proxy.addr).await.unwrap(), "b");
    drop(first);
    let in_flight = || {
        upstream
            .backends()
            .status(upstream.now())
            .next()
            .unwrap()
            .in_flight
    };
    eventually("the released lease", || in_flight() == 0).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    proxy.end().await;
}

#[tokio::test]
async fn membership_follows_a_handle_and_open_sessions_stay_open() {
    let (manual, handle) = Manual::new(Snapshot::default());
    let upstream = Upstream::builder("manual")
        .discovery(manual)
        .discovery_config(eager())
        .build()
        .unwrap();
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    let known = || upstream.backends().snapshot().len();
    ask(proxy.addr).await.unwrap_err();

    let a = named("a").await;
    handle.add(Backend::new(a));
    eventually("the first backend", || known() == 1).await;
    let mut open = proxy.connect().await;
    assert_eq!(open.read_u8().await.unwrap(), b'a');

    handle.add(Backend::new(named("b").await));
    handle.drain(a);
    let drained =
        || upstream.backends().snapshot().find(a).map(|b| b.admin) == Some(AdminState::Drain);
    eventually("the drain", || known() == 2 && drained()).await;
    for _ in 0..4 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "b");
    }
    handle.remove(a);
    eventually("the removal", || known() == 1).await;
    assert_eq!(
        proxy.metrics().active,
        1,
        "the session on the removed backend"
    );
    open.read_to_end(&mut Vec::new()).await.unwrap();
    drop(open);
    proxy.end().await;
}
