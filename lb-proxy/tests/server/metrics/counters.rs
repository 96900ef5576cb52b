//! Counters of sessions, attempts and backends.

use lb_core::{Backend, Health};
use lb_proxy::reports::TransitionKind;
use lb_proxy::{Listener, Proxy};
use test_support::deadline::eventually;
use test_support::proxy::{RunningProxy, reload, upstream};
use test_support::sockets::{loopback, refusing};

use super::{Scraped, round_trip, sum, value};
use crate::prometheus::echo;

#[tokio::test]
async fn the_bytes_of_an_open_session_are_counted_by_listener_upstream_and_backend() {
    let addr = echo(0).await;
    let upstream = upstream([Backend::new(addr)]);
    let listener = Listener::new(loopback(), &upstream);
    let proxy = RunningProxy::run(Proxy::builder().listener(listener).detailed_metrics(true)).await;
    let scraped = Scraped::of(&proxy);
    let mut client = proxy.connect().await;
    round_trip(&mut client, 300).await;
    let (listener, name) = (proxy.addr, upstream.name());
    let scrape = scraped.scrape();
    for direction in ["to_backend", "to_client"] {
        for series in [
            format!(
                "lb_listener_relayed_bytes_total{{listener=\"{listener}\",direction=\"{direction}\"}}"
            ),
            format!(
                "lb_upstream_relayed_bytes_total{{upstream=\"{name}\",direction=\"{direction}\"}}"
            ),
            format!(
                "lb_backend_relayed_bytes_total{{upstream=\"{name}\",backend=\"{addr}\",direction=\"{direction}\"}}"
            ),
            format!("lb_server_relayed_bytes_total{{direction=\"{direction}\"}}"),
        ] {
            assert_eq!(value(&scrape, &series), Some(300.0), "{series}");
        }
    }
    assert_eq!(sum(&scrape, "lb_listener_sessions_active"), 1.0);
    assert_eq!(sum(&scrape, "lb_backend_sessions_active"), 1.0);
    assert_eq!(sum(&scrape, "lb_backend_relayed_bytes_total"), 600.0);
    drop(client);
    eventually("the end", || proxy.metrics().active == 0).await;
    let scrape = scraped.scrape();
    assert_eq!(sum(&scrape, "lb_backend_relayed_bytes_total"), 600.0);
    assert_eq!(sum(&scrape, "lb_upstream_sessions_ended_total"), 1.0);
    assert_eq!(
        sum(&scrape, "lb_upstream_session_length_seconds_count"),
        1.0
    );
    assert_eq!(sum(&scrape, "lb_upstream_connect_time_seconds_count"), 1.0);
    proxy.end().await;
}

#[tokio::test]
async fn failures_retries_and_changes_of_health_are_counted_where_they_happen() {
    let addr = echo(0).await;
    let (_held, dead) = refusing();
    let upstream = upstream([dead, addr].map(Backend::new));
    let listener = Listener::new(loopback(), &upstream);
    let proxy = RunningProxy::run(Proxy::builder().listener(listener).detailed_metrics(true)).await;
    let scraped = Scraped::of(&proxy);
    eventually("the dead backend's turn", || {
        proxy.metrics().connect_failures > 0 || {
            let client = std::net::TcpStream::connect(proxy.addr);
            drop(client);
            false
        }
    })
    .await;
    eventually("the ejection", || !upstream.transitions().is_empty()).await;
    upstream.set_health(addr, Health::Unhealthy);
    upstream.set_health(addr, Health::Healthy);
    let transitions = upstream.transitions();
    let kinds: Vec<_> = transitions
        .iter()
        .map(|one| (one.backend.key(), one.kind))
        .collect();
    let expected = [
        (dead, TransitionKind::Ejected),
        (addr, TransitionKind::Unhealthy),
        (addr, TransitionKind::Healthy),
    ];
    assert_eq!(kinds, expected);
    eventually("the ends", || proxy.metrics().active == 0).await;
    let name = upstream.name();
    let scrape = scraped.scrape();
    let metrics = proxy.metrics();
    let failed = format!(
        "lb_backend_connect_attempts_total{{upstream=\"{name}\",backend=\"{dead}\",outcome=\"failed\"}}"
    );
    assert_eq!(
        value(&scrape, &failed),
        Some(metrics.connect_failures as f64)
    );
    let retries = format!("lb_upstream_connect_retries_total{{upstream=\"{name}\"}}");
    assert!(value(&scrape, &retries) > Some(0.0), "{scrape:#?}");
    assert_eq!(
        sum(&scrape, "lb_backend_ejections_total"),
        metrics.ejections as f64
    );
    assert_eq!(
        sum(&scrape, "lb_upstream_ejections_total"),
        metrics.ejections as f64
    );
    for to in ["healthy", "unhealthy"] {
        let changes = format!(
            "lb_backend_health_changes_total{{upstream=\"{name}\",backend=\"{addr}\",to=\"{to}\"}}"
        );
        assert_eq!(value(&scrape, &changes), Some(1.0));
    }
    proxy.end().await;
}

#[tokio::test]
async fn a_reload_begins_to_count_in_detail() {
    let upstream = upstream([Backend::new(echo(0).await)]);
    let listen = loopback();
    let describe = |detailed| {
        let listener = Listener::new(listen, &upstream);
        Proxy::builder()
            .listener(listener)
            .detailed_metrics(detailed)
    };
    let proxy = RunningProxy::run(describe(false)).await;
    let mut before = proxy.connect().await;
    round_trip(&mut before, 10).await;
    assert!(proxy.handle.detailed_metrics().is_none());
    reload(&proxy, describe(true)).await.unwrap();
    let mut after = proxy.connect().await;
    round_trip(&mut after, 100).await;
    // A later reload goes on counting.
    reload(&proxy, describe(false)).await.unwrap();
    round_trip(&mut after, 100).await;
    drop((before, after));
    eventually("the ends", || proxy.metrics().active == 0).await;
    let metrics = proxy.handle.detailed_metrics().unwrap();
    let listener = &metrics.listeners[0];
    assert_eq!((listener.accepted, listener.active), (1, 0));
    proxy.end().await;
}
