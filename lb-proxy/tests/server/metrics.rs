//! The metrics of a server, as a scrape shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};

use lb_core::policy::Maglev;
use lb_core::{Backend, Health, Snapshot};
use lb_discovery::Manual;
use lb_proxy::balancing::Queue;
use lb_proxy::health::{CheckSettings, TcpCheck};
use lb_proxy::openmetrics::{Format, ServerCollector, encode};
use lb_proxy::reports::{Phase, TransitionKind};
use lb_proxy::{Limits, Listener, Proxy, Upstream};
use prometheus_client::registry::Registry;
use test_support::deadline::eventually;
use test_support::proxy::{RunningProxy, eager, reload, round_robin, upstream};
use test_support::sockets::{loopback, refusing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::prometheus::echo;

/// A registry with the collector of a running proxy.
struct Scraped(Registry);

impl Scraped {
    fn of(proxy: &RunningProxy) -> Self {
        let mut registry = Registry::default();
        let collector = ServerCollector::new(proxy.handle.clone());
        registry.register_collector(Box::new(collector));
        Self(registry)
    }

    /// The series of one scrape with their values.
    fn scrape(&self) -> BTreeMap<String, f64> {
        let text = encode(&self.0, Format::OpenMetrics);
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let parsed = samples.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        parsed.collect()
    }
}

fn value(scrape: &BTreeMap<String, f64>, series: &str) -> Option<f64> {
    scrape.get(series).copied()
}

fn sum(scrape: &BTreeMap<String, f64>, start: &str) -> f64 {
    let matching = scrape
        .iter()
        .filter(|(series, _)| series.starts_with(start));
    matching.map(|(_, value)| value).sum()
}

async fn round_trip(stream: &mut TcpStream, bytes: usize) {
    stream.write_all(&vec![7; bytes]).await.unwrap();
    let mut answer = vec![0; bytes];
    stream.read_exact(&mut answer).await.unwrap();
}

/// The rows of the table in the documents: name, type, labels.
fn documented() -> BTreeSet<(String, String, String)> {
    let document = include_str!("../../docs/metrics.md");
    let rows = document.lines().filter(|line| line.starts_with("| `lb_"));
    let cells = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [name, kind, labels] = [cells[1], cells[2], cells[3]].map(|cell| cell.replace('`', ""));
        (name, kind, labels)
    };
    rows.map(cells).collect()
}

/// The families of a scrape in the form of the documents' table.
fn families(text: &str) -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|line| line.split_once(' '))
        {
            kinds.insert(name.to_owned(), kind.to_owned());
        } else if !line.starts_with('#') {
            let series = line.rsplit_once(' ').unwrap().0;
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels: Vec<&str> = labels
                .trim_end_matches('}')
                .split("\",")
                .filter_map(|label| Some(label.split_once("=\"")?.0))
                .filter(|label| *label != "le")
                .collect();
            let family = ["_total", "_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| {
                    let base = name.strip_suffix(suffix)?;
                    kinds.contains_key(base).then_some(base)
                })
                .unwrap_or(name);
            let kind = kinds[family].clone();
            let shown = if kind == "counter" { name } else { family };
            found.insert((shown.to_owned(), kind, labels.join(", ")));
        }
    }
    found
}

#[tokio::test]
async fn a_scrape_has_every_documented_metric_and_no_other() {
    let addr = echo(0).await;
    let backend = Backend::new(addr).with_max_conns(NonZeroU32::new(10));
    let (source, _handle) = Manual::new(Snapshot::from_backends([backend]));
    let queue = Queue::new(NonZeroUsize::MIN);
    let upstream = Upstream::builder("hashed")
        .discovery(source)
        .policy(Maglev::new())
        .queue(Some(queue))
        .health_check(TcpCheck::new(), CheckSettings::default())
        .build()
        .unwrap();
    let listener = Listener::new(loopback(), &upstream);
    let limits = Limits::default().sessions(NonZeroUsize::new(100));
    let proxy = Proxy::builder().listener(listener).limits(limits);
    let proxy = RunningProxy::run(proxy.detailed_metrics(true)).await;
    let mut client = proxy.connect().await;
    round_trip(&mut client, 100).await;
    eventually("the first probe", || {
        upstream
            .health_checks()
            .iter()
            .any(|check| check.last.is_some())
    })
    .await;
    let scraped = Scraped::of(&proxy);
    let text = encode(&scraped.0, Format::OpenMetrics);
    let (documented, found) = (documented(), families(&text));
    let missing: Vec<_> = documented.difference(&found).collect();
    let unknown: Vec<_> = found.difference(&documented).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing {missing:?}, not documented {unknown:?}\n{text}"
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
    drop(client);
    proxy.end().await;
}

#[tokio::test]
async fn the_bytes_of_an_open_session_are_counted_by_listener_and_upstream() {
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
            format!("lb_server_relayed_bytes_total{{direction=\"{direction}\"}}"),
        ] {
            assert_eq!(value(&scrape, &series), Some(300.0), "{series}");
        }
    }
    assert_eq!(sum(&scrape, "lb_listener_sessions_active"), 1.0);
    assert_eq!(sum(&scrape, "lb_backend_sessions_active"), 1.0);
    assert_eq!(sum(&scrape, "lb_backend_relayed_bytes_total"), 0.0);
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
        assert_eq!(value(&scrape, &sent), Some(0.0));
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
    let heavy = b.with_weight(lb_core::Weight::new(2));
    assert_ne!(one, digest(vec![a, heavy]).await);
}

#[tokio::test]
async fn a_reload_begins_to_count_in_detail() {
    let upstream = round_robin("u", echo(0).await);
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
    assert_eq!(
        (metrics.listeners[0].accepted, metrics.listeners[0].active),
        (1, 0)
    );
    proxy.end().await;
}
