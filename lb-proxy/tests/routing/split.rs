//! Splits by weight: exact shares, refusals in proportion, turns that go on over a reload.

use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::Snapshot;
use lb_proxy::routing::{RouteAction, Split, SplitTarget};
use lb_proxy::{Listener, Proxy, ProxyBuilder, Upstream};
use test_support::deadline::eventually;
use test_support::log::Capture;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, reload, round_robin};
use test_support::sockets::loopback;
use test_support::streams::{answers, ask, counts};

async fn pool(name: &'static str) -> (Upstream, SplitTarget) {
    let upstream = round_robin(name, named(name).await);
    let target = SplitTarget::Upstream(upstream.clone());
    (upstream, target)
}

fn split_over(addr: SocketAddr, split: &Arc<Split>, default: &Upstream) -> ProxyBuilder {
    let (proxy, split) = (Proxy::builder(), Arc::clone(split));
    let upstreams = split.shares().iter().filter_map(|(_, to)| match to {
        SplitTarget::Upstream(upstream) => Some(upstream.clone()),
        _ => None,
    });
    let proxy = upstreams.fold(proxy, |proxy, upstream| proxy.upstream(&upstream));
    let route = move |_: &_| RouteAction::Split(Arc::clone(&split));
    proxy.listener(Listener::new(addr, default).route(route))
}

#[tokio::test]
async fn five_hundred_connections_ten_at_a_time_are_split_exactly_by_weight() {
    let [(a, to_a), (_b, to_b), (_c, to_c)] = [pool("a").await, pool("b").await, pool("c").await];
    let split = Arc::new(Split::new([(70, to_a), (30, to_b), (0, to_c)]));
    let proxy = RunningProxy::run(split_over(loopback(), &split, &a)).await;
    let answers = answers(proxy.addr, 500, 10).await;
    assert_eq!(answers, counts(&[("a", 350), ("b", 150)]));
    proxy.end().await;
}

#[tokio::test]
async fn a_refusal_and_an_upstream_without_backends_have_their_share_of_connections() {
    let log = Capture::install();
    let (served, to_served) = pool("served").await;
    let empty = Upstream::builder("empty").fixed(&Snapshot::default());
    let empty = SplitTarget::Upstream(empty.unwrap());
    let refused = SplitTarget::Refuse("service default/gone does not exist".into());
    let split = Arc::new(Split::new([(5, to_served), (3, refused), (2, empty)]));
    let proxy = RunningProxy::run(split_over(loopback(), &split, &served)).await;
    let answers = answers(proxy.addr, 200, 8).await;
    assert_eq!(answers, counts(&[("refused", 100), ("served", 100)]));
    eventually("the ends", || proxy.metrics().active == 0).await;
    let metrics = proxy.metrics();
    assert_eq!((metrics.route_refused, metrics.no_backend), (60, 40));
    let lines = log.take();
    let reason = |line: &String| line.contains("default/gone does not exist");
    assert!(lines.iter().any(reason), "{lines:?}");
    proxy.end().await;
}

#[tokio::test]
async fn without_any_weight_every_connection_is_refused() {
    let (a, to_a) = pool("a").await;
    for shares in [vec![], vec![(0, to_a)]] {
        let split = Arc::new(Split::new(shares));
        let proxy = RunningProxy::run(split_over(loopback(), &split, &a)).await;
        assert_eq!(answers(proxy.addr, 10, 1).await, counts(&[("refused", 10)]));
        proxy.end().await;
    }
}

#[tokio::test]
async fn a_split_that_continues_another_goes_on_with_its_turns() {
    let [(a, to_a), (_b, to_b)] = [pool("a").await, pool("b").await];
    let split = Arc::new(Split::new([(1, to_a), (1, to_b)]));
    let proxy = RunningProxy::run(split_over(loopback(), &split, &a)).await;
    let mut before = String::new();
    for _ in 0..6 {
        let answer = ask(proxy.addr).await.unwrap();
        assert_ne!(answer, before);
        before = answer;
        let described = Split::new(split.shares().to_vec()).continuing(&split);
        reload(&proxy, split_over(proxy.addr, &Arc::new(described), &a))
            .await
            .unwrap();
    }
    proxy.end().await;
}

#[test]
fn other_weights_begin_another_order() {
    let target = || SplitTarget::Refuse("x".into());
    let old = Split::new([(1, target()), (1, target())]);
    let new = Split::with_seed(5, [(1, target()), (2, target())]).continuing(&old);
    let alone = Split::with_seed(5, [(1, target()), (2, target())]);
    assert_eq!(format!("{new:?}"), format!("{alone:?}"));
}

#[test]
fn seeds_decide_the_first_turn_and_the_text_has_every_share() {
    let target = |reason: &'static str| SplitTarget::Refuse(reason.into());
    let split = |seed| Split::with_seed(seed, [(70, target("a\nb")), (30, target("c"))]);
    let text = split(1).to_string();
    assert_eq!(text, "splits 100 turns: 70 refused (a\\nb), 30 refused (c)");
    assert_eq!(format!("{:?}", split(1)), format!("{:?}", split(1)));
}
