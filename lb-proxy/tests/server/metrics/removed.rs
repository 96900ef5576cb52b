//! Counters of what was removed: they are shown once more, and kept in bounded memory.

use std::net::SocketAddr;

use lb_core::{Backend, Snapshot};
use lb_discovery::Manual;
use lb_proxy::{Listener, Proxy, Upstream};
use test_support::deadline::eventually;
use test_support::proxy::{RunningProxy, eager, reload};
use test_support::sockets::loopback;
use tokio::net::TcpStream;

use super::{Scraped, round_trip, value};
use crate::prometheus::echo;

#[tokio::test]
async fn a_backend_that_left_is_shown_until_a_scrape_after_its_last_session() {
    let first = echo(0).await;
    let second = echo(0).await;
    let (source, handle) = Manual::new(Snapshot::from_backends([Backend::new(first)]));
    let upstream = Upstream::builder("test")
        .discovery(source)
        .discovery_config(eager())
        .build()
        .unwrap();
    let listener = Listener::new(loopback(), &upstream);
    let proxy = RunningProxy::run(Proxy::builder().listener(listener).detailed_metrics(true)).await;
    let scraped = Scraped::of(&proxy);
    let mut client = proxy.connect().await;
    round_trip(&mut client, 10).await;
    handle.set(Snapshot::from_backends([Backend::new(second)]));
    eventually("the change", || !upstream.backends().contains(first)).await;

    let labels = format!("upstream=\"{}\",backend=\"{first}\"", upstream.name());
    let connected = format!("lb_backend_connect_attempts_total{{{labels},outcome=\"connected\"}}");
    let sent = format!("lb_backend_relayed_bytes_total{{{labels},direction=\"to_backend\"}}");
    let weight = format!("lb_backend_weight{{{labels}}}");
    for _ in 0..3 {
        let scrape = scraped.scrape();
        assert_eq!(value(&scrape, &connected), Some(1.0));
        assert_eq!(value(&scrape, &sent), Some(10.0));
        assert_eq!(value(&scrape, &weight), None);
    }
    drop(client);
    eventually("the end", || proxy.metrics().active == 0).await;
    assert_eq!(value(&scraped.scrape(), &sent), Some(10.0));
    assert_eq!(value(&scraped.scrape(), &sent), None);

    // It returns with the state that it had, or with a new one.
    handle.set(Snapshot::from_backends([Backend::new(first)]));
    eventually("the return", || upstream.backends().contains(first)).await;
    let mut client = proxy.connect().await;
    round_trip(&mut client, 10).await;
    assert!(value(&scraped.scrape(), &connected) >= Some(1.0));
    drop(client);
    proxy.end().await;
}

#[tokio::test]
async fn a_reload_keeps_the_counters_of_what_it_keeps_and_shows_the_rest_once_more() {
    let addr = echo(0).await;
    let name = |name: &str| {
        let source = lb_discovery::Static::new(Snapshot::from_backends([Backend::new(addr)]));
        let builder = Upstream::builder(name).discovery(source).fingerprint(name);
        builder.build().unwrap()
    };
    let (kept, gone) = (name("kept"), name("gone"));
    let described = |listeners: Vec<Listener>| {
        let proxy = Proxy::builder().detailed_metrics(true);
        listeners
            .into_iter()
            .fold(proxy, |proxy, listener| proxy.listener(listener))
    };
    let both = vec![
        Listener::new(loopback(), &kept),
        Listener::new(loopback(), &gone),
    ];
    let proxy = RunningProxy::run(described(both)).await;
    let scraped = Scraped::of(&proxy);
    let addrs = proxy.handle.local_addrs();
    for addr in &addrs {
        let mut client = TcpStream::connect(addr).await.unwrap();
        round_trip(&mut client, 10).await;
    }
    eventually("the ends", || proxy.metrics().active == 0).await;
    let series =
        |addr: &SocketAddr| format!("lb_listener_sessions_accepted_total{{listener=\"{addr}\"}}");
    let sessions = |name: &str| format!("lb_upstream_sessions_total{{upstream=\"{name}\"}}");

    let one = described(vec![Listener::new(addrs[0], &name("kept"))]);
    reload(&proxy, one).await.unwrap();
    let scrape = scraped.scrape();
    assert_eq!(value(&scrape, &series(&addrs[1])), Some(1.0));
    assert_eq!(value(&scrape, &sessions("gone")), Some(1.0));
    eventually("the removed listener to be gone", || {
        value(&scraped.scrape(), &series(&addrs[1])).is_none()
    })
    .await;
    let mut client = TcpStream::connect(addrs[0]).await.unwrap();
    round_trip(&mut client, 10).await;
    let scrape = scraped.scrape();
    assert_eq!(value(&scrape, &sessions("gone")), None);
    assert_eq!(value(&scrape, &series(&addrs[0])), Some(2.0));
    assert_eq!(value(&scrape, &sessions("kept")), Some(2.0));
    assert_eq!(
        value(&scrape, "lb_server_sessions_accepted_total"),
        Some(3.0)
    );
    assert_eq!(
        value(&scrape, "lb_server_reloads_total{result=\"applied\"}"),
        Some(1.0)
    );
    let failed = "lb_server_reloads_total{result=\"failed\"}";
    assert_eq!(value(&scrape, failed), Some(0.0));
    proxy.handle.note_failed_reload("a broken file");
    assert_eq!(value(&scraped.scrape(), failed), Some(1.0));
    drop(client);
    proxy.end().await;
}

/// Nothing scrapes, and backends come and go.
#[tokio::test]
async fn without_a_scrape_the_counters_of_backends_that_left_have_a_bound() {
    let kept = echo(0).await;
    let (source, handle) = Manual::new(Snapshot::from_backends([Backend::new(kept)]));
    let upstream = Upstream::builder("test")
        .discovery(source)
        .discovery_config(eager())
        .build()
        .unwrap();
    let listener = Listener::new(loopback(), &upstream);
    let proxy = RunningProxy::run(Proxy::builder().listener(listener).detailed_metrics(true)).await;
    let mut client = proxy.connect().await;
    round_trip(&mut client, 10).await;
    let listed = || {
        let counted = proxy.handle.detailed_metrics().unwrap();
        counted.upstreams[0].backends.clone()
    };
    let mut most = 0;
    for round in 0..30_u8 {
        let backends: Vec<_> = (1..=200)
            .map(|host| Backend::new(([10, 0, round, host], 446).into()))
            .collect();
        let last = backends[0].addr;
        handle.set(Snapshot::from_backends(backends));
        eventually("the set", || upstream.backends().contains(last)).await;
        let set = upstream.backends();
        for backend in set.snapshot().iter() {
            upstream.set_health(backend.addr, lb_core::Health::Unhealthy);
        }
        most = most.max(listed().len());
    }
    assert!((1000..=1400).contains(&most), "{most}");
    // A backend that left and has a session is never forgotten.
    let backends = listed();
    let first = backends.iter().find(|one| one.backend.key() == kept);
    let first = first.unwrap();
    assert_eq!((first.is_current, first.active), (false, 1));
    drop(client);
    proxy.end().await;
}
