//! Counts of sessions that found no backend, by cause.

use std::net::SocketAddr;
use std::time::Duration;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{AdminState, Backend, BalancerConfig, Health, OnAllEjected, Snapshot};
use lb_discovery::{DriverConfig, Manual, Source};
use lb_proxy::balancing::Queue;
use lb_proxy::events::NoBackendCause;
use lb_proxy::reports::UpstreamMetrics;
use lb_proxy::{Listener, Proxy, Retry, Upstream};
use test_support::deadline::eventually;
use test_support::discovery::{Script, Watch};
use test_support::proxy::{RunningProxy, eager};
use test_support::sockets::{loopback, refusing};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{Scraped, round_trip, sum, value};
use crate::prometheus::echo;

/// An upstream of `backends` that has one queued session at most, and refuses clients while all backends are ejected.
fn pool(name: &str, backends: impl IntoIterator<Item = Backend>) -> Upstream {
    let (source, _handle) = Manual::new(Snapshot::from_backends(backends));
    from_source(name, source, eager())
}

fn from_source(name: &str, source: impl Source, config: DriverConfig) -> Upstream {
    let queue = Queue::new(1).timeout(Duration::from_millis(10));
    Upstream::builder(name)
        .discovery(source)
        .discovery_config(config)
        .policy(WeightedRoundRobin::new())
        .balancer_config(BalancerConfig::default().on_all_ejected(OnAllEjected::Refuse))
        .queue((name == "queue").then_some(queue))
        .build()
        .unwrap()
}

/// Waits for the end of a client that gets no backend.
async fn refused(addr: SocketAddr) {
    let mut client = TcpStream::connect(addr).await.unwrap();
    let mut byte = [0];
    assert!(!matches!(client.read(&mut byte).await, Ok(1)));
}

#[tokio::test]
async fn sessions_without_a_backend_are_counted_by_cause() {
    let alive = echo(0).await;
    let (_held, one) = refusing();
    let (_other_held, other) = refusing();
    let dead = || [one, other].map(Backend::new);
    let limited = || Backend::new(alive).max_conns(1);
    let drained = Backend::new(alive).admin(AdminState::Drain);
    let hour = Duration::from_secs(3600);
    let patient = DriverConfig::new().backoff_base(hour).backoff_max(hour);
    let deadline = |time| Retry::default().deadline(Some(time));
    let usual = Retry::default();
    use NoBackendCause as Cause;
    let cases = [
        (
            pool("deadline", dead()),
            deadline(Duration::from_nanos(1)),
            vec![Cause::Deadline],
        ),
        (pool("draining", [drained]), usual, vec![Cause::Draining]),
        (pool("empty", []), usual, vec![Cause::Empty]),
        (pool("full", [limited()]), usual, vec![Cause::Full]),
        // Both failed this client, and its failures ejected them for the next one.
        (
            pool("tried", dead()),
            usual,
            vec![Cause::Tried, Cause::Ejected],
        ),
        (pool("mixed", dead()), usual, vec![Cause::NoneEligible]),
        (
            from_source("not ready", Script::new([Watch::Fail]), patient),
            deadline(Duration::from_millis(20)),
            vec![Cause::NotReady],
        ),
        (pool("queue", [limited()]), usual, vec![]),
        (pool("tries", dead()), usual.tries(1), vec![Cause::Tries]),
        (pool("unchecked", dead()), usual, vec![Cause::Unchecked]),
        (pool("unhealthy", dead()), usual, vec![Cause::Unhealthy]),
    ];
    let proxy = Proxy::builder().detailed_metrics(true);
    let proxy = cases.iter().fold(proxy, |proxy, (upstream, retry, _)| {
        proxy.listener(Listener::new(loopback(), upstream).retry(*retry))
    });
    let proxy = RunningProxy::run(proxy).await;
    let addrs = proxy.handle.local_addrs();
    let named = |name: &str| {
        cases
            .iter()
            .position(|(upstream, ..)| upstream.name() == name)
    };
    let at = |name: &str| addrs[named(name).unwrap()];
    let ready = || {
        let mut upstreams = cases.iter().map(|(upstream, ..)| upstream);
        upstreams.all(|upstream| upstream.is_ready() || upstream.name() == "not ready")
    };
    eventually("the sets", ready).await;
    let set_health = |name: &str, addr, health| {
        cases[named(name).unwrap()].0.set_health(addr, health);
    };
    set_health("mixed", one, Health::Unhealthy);
    for addr in [one, other] {
        set_health("unchecked", addr, Health::Unchecked);
        set_health("unhealthy", addr, Health::Unhealthy);
    }
    let mut holding = Vec::new();
    for name in ["full", "queue"] {
        let mut client = TcpStream::connect(at(name)).await.unwrap();
        round_trip(&mut client, 1).await;
        holding.push(client);
    }
    for ((.., causes), addr) in cases.iter().zip(&addrs) {
        for _ in causes {
            refused(*addr).await;
        }
    }
    refused(at("queue")).await;
    drop(holding);
    eventually("the ends", || proxy.metrics().active == 0).await;

    let counted = proxy.handle.detailed_metrics().unwrap();
    let scrape = Scraped::of(&proxy).scrape();
    for (upstream, _, causes) in &cases {
        let name = upstream.name();
        let counted = of(&counted.upstreams, name);
        let ended: Vec<_> = counted.no_backend.iter().filter(|(_, n)| *n > 0).collect();
        let mut expected: Vec<_> = causes.iter().map(|&cause| (cause, 1)).collect();
        expected.sort();
        assert_eq!(ended, expected, "{name}");
        for &(cause, n) in &ended {
            let cause = cause.as_str();
            let series =
                format!("lb_upstream_no_backend_total{{upstream=\"{name}\",cause=\"{cause}\"}}");
            assert_eq!(value(&scrape, &series), Some(n as f64), "{series}");
        }
        let all = format!("lb_upstream_no_backend_total{{upstream=\"{name}\",");
        let ends = format!(
            "lb_upstream_sessions_ended_total{{upstream=\"{name}\",reason=\"no_backend\"}}"
        );
        assert_eq!(Some(sum(&scrape, &all)), value(&scrape, &ends), "{name}");
    }
    let ends = "lb_server_sessions_ended_total{reason=\"no_backend\"}";
    let all = sum(&scrape, "lb_upstream_no_backend_total");
    assert_eq!((Some(all), all), (value(&scrape, ends), 11.0));
    assert_eq!(proxy.metrics().queue_timeouts, 1);
    proxy.end().await;
}

fn of<'a>(counted: &'a [UpstreamMetrics], name: &str) -> &'a UpstreamMetrics {
    let mut counted = counted.iter();
    counted.find(|one| *one.upstream == *name).unwrap()
}
