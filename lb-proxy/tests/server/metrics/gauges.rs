//! A scrape of upstreams, sources and sockets.

use std::net::SocketAddr;

use lb_core::{AdminState, Backend, Health};
use lb_proxy::reports::Phase;
use lb_proxy::{Listener, Proxy};
use test_support::deadline::eventually;
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::loopback;

use super::{Scraped, round_trip, sum, value};
use crate::prometheus::echo;

#[tokio::test]
async fn without_detail_a_scrape_has_the_server_the_status_and_the_sources() {
    let addr = echo(0).await;
    let upstream = upstream([Backend::new(addr)]);
    let listener = Listener::new(loopback(), &upstream);
    let proxy = RunningProxy::run(Proxy::builder().listener(listener)).await;
    assert!(proxy.handle.detailed_metrics().is_none());
    proxy.handle.reached(Phase::Serving).await;
    eventually("the set", || !upstream.backends().snapshot().is_empty()).await;
    let scrape = Scraped::of(&proxy).scrape();
    assert_eq!(value(&scrape, "lb_server_ready"), Some(1.0));
    assert_eq!(sum(&scrape, "lb_backend_weight"), 1.0);
    assert!(
        !scrape
            .keys()
            .any(|series| series.starts_with("lb_listener_"))
    );
    proxy.end().await;
}

/// Each backend is in one state, and one that waits for its first check is not down.
#[tokio::test]
async fn every_backend_is_counted_in_one_state() {
    let addrs = [1, 2, 3, 4, 5].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let [drained, rest @ ..] = addrs.map(Backend::new);
    let drained = drained.admin(AdminState::Drain);
    let upstream = upstream([drained].into_iter().chain(rest));
    let listener = Listener::new(loopback(), &upstream);
    let proxy = RunningProxy::run(Proxy::builder().listener(listener)).await;
    eventually("the set", || upstream.is_ready()).await;
    upstream.set_health(addrs[1], Health::Unchecked);
    upstream.set_health(addrs[2], Health::Unchecked);
    upstream.set_health(addrs[3], Health::Unhealthy);
    let scrape = Scraped::of(&proxy).scrape();
    let count = |state: &str| {
        let series = format!("lb_upstream_backends{{upstream=\"test\",state=\"{state}\"}}");
        value(&scrape, &series)
    };
    let states = ["draining", "ejected", "ready", "unchecked", "unhealthy"];
    let expected = [1.0, 0.0, 1.0, 2.0, 1.0].map(Some);
    assert_eq!(states.map(count), expected);
    assert_eq!(sum(&scrape, "lb_upstream_backends"), 5.0);
    proxy.end().await;
}

/// The descriptors in use are those of the moment, with the sockets of sessions.
#[tokio::test]
async fn open_sessions_show_in_the_descriptors_in_use() {
    let upstream = upstream([Backend::new(echo(0).await)]);
    let listener = Listener::new(loopback(), &upstream);
    let proxy = RunningProxy::run(Proxy::builder().listener(listener)).await;
    let scraped = Scraped::of(&proxy);
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = proxy.connect().await;
        round_trip(&mut client, 1).await;
        clients.push(client);
    }
    let scrape = scraped.scrape();
    let in_use = value(&scrape, "lb_server_descriptors_in_use");
    // At both ends of both connections. Other tests of this process have some as well.
    assert!(in_use >= Some(400.0), "{in_use:?}");
    // Other tests of this process change the budget.
    let is_that_of_the_budget = || {
        let budget = proxy.handle.descriptors();
        let beside = value(&scraped.scrape(), "lb_server_descriptors_beside_sessions");
        beside == Some(budget.in_use as f64)
    };
    eventually("the budget", is_that_of_the_budget).await;
    drop(clients);
    proxy.end().await;
}

/// Replicas compare digests: the order of the backends is no difference, a weight is one.
#[tokio::test]
async fn equal_sets_have_equal_digests() {
    let backends = ["10.0.0.1:446", "10.0.0.2:446"].map(|addr| Backend::new(addr.parse().unwrap()));
    let digest = |backends: Vec<Backend>| async {
        let upstream = upstream(backends);
        let listener = Listener::new(loopback(), &upstream);
        let proxy = RunningProxy::run(Proxy::builder().listener(listener)).await;
        eventually("the set", || !upstream.backends().snapshot().is_empty()).await;
        let scrape = Scraped::of(&proxy).scrape();
        proxy.end().await;
        sum(&scrape, "lb_upstream_set_digest")
    };
    let [a, b] = backends;
    let one = digest(vec![a.clone(), b.clone()]).await;
    assert_eq!(one, digest(vec![b.clone(), a.clone()]).await);
    let heavy = b.weight(lb_core::Weight::new(2));
    assert_ne!(one, digest(vec![a, heavy]).await);
}

#[tokio::test]
async fn a_sample_of_sockets_is_read_by_upstream_and_is_no_larger_than_asked() {
    let addr = echo(0).await;
    let upstream = upstream([Backend::new(addr)]);
    let listener = Listener::new(loopback(), &upstream);
    let proxy = Proxy::builder().listener(listener).track_sessions(true);
    let proxy = RunningProxy::run(proxy).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = proxy.connect().await;
        round_trip(&mut client, 1000).await;
        clients.push(client);
    }
    let labels = format!("upstream=\"{}\"", upstream.name());
    let samples = format!("lb_upstream_socket_samples{{{labels}}}");
    for (most, expected) in [(1, 1..=1), (7, 5..=7), (1000, 20..=20)] {
        let scrape = Scraped::sockets_of(&proxy, most).scrape();
        let count = value(&scrape, &samples).unwrap() as usize;
        assert!(expected.contains(&count), "{count} of at most {most}");
        let rtt = |name: &str| {
            let labels = format!("{labels},statistic=\"{name}\"");
            value(
                &scrape,
                &format!("lb_upstream_socket_rtt_seconds{{{labels}}}"),
            )
            .unwrap()
        };
        let [median, p90, max] = ["median", "p90", "max"].map(rtt);
        assert!(0.0 < median && median <= p90 && p90 <= max && max < 10.0);
        let sum = |name: &str| sum(&scrape, &format!("lb_upstream_socket_{name}"));
        // A SYN, an acknowledgement and a segment of data each, at least.
        assert!(sum("sent_segments") >= 3.0 * count as f64);
        assert!(sum("retransmitted_segments") <= sum("sent_segments"));
        assert!(sum("unanswered") <= count as f64);
    }
    drop(clients);
    eventually("the ends", || proxy.metrics().active == 0).await;
    let scrape = Scraped::sockets_of(&proxy, 1000).scrape();
    assert!(scrape.is_empty(), "{scrape:?}");
    proxy.end().await;
}
