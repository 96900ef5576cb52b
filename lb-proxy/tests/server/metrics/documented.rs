//! The table of the documents, compared with a scrape.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::Maglev;
use lb_core::{Backend, Snapshot};
use lb_discovery::{DriverConfig, Manual};
use lb_proxy::balancing::Queue;
use lb_proxy::events::JsonEvents;
use lb_proxy::health::{CheckSettings, TcpCheck};
use lb_proxy::openmetrics::{Format, ServerCollector, encode_all};
use lb_proxy::{Limits, Listener, Proxy, Upstream};
use prometheus_client::registry::Registry;
use test_support::deadline::eventually;
use test_support::discovery::{Script, Watch};
use test_support::proxy::RunningProxy;
use test_support::sockets::loopback;

use super::{Scraped, round_trip};
use crate::prometheus::echo;

/// The rows of the table in the documents: name, type, labels.
fn documented() -> BTreeSet<(String, String, String)> {
    let document = include_str!("../../../docs/metrics.md");
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
    let backend = Backend::new(addr).max_conns(10);
    let (source, _handle) = Manual::new(Snapshot::from_backends([backend]));
    let queue = Queue::new(1);
    let upstream = Upstream::builder("hashed")
        .discovery(source)
        .policy(Maglev::new())
        .queue(Some(queue))
        .health_check(TcpCheck::new(), CheckSettings::default())
        .build()
        .unwrap();
    let hour = Duration::from_secs(3600);
    let config = DriverConfig::new().backoff_base(hour).backoff_max(hour);
    let failing = Upstream::builder("failing")
        .discovery(Script::new([Watch::Fail]))
        .discovery_config(config)
        .build()
        .unwrap();
    let listener = Listener::new(loopback(), &upstream);
    let proxy = Proxy::builder().listener(listener).upstream(&failing);
    let limits = Limits::default().sessions(100);
    let proxy = proxy
        .limits(limits)
        .detailed_metrics(true)
        .track_sessions(true);
    let proxy = RunningProxy::run(proxy).await;
    let mut client = proxy.connect().await;
    round_trip(&mut client, 100).await;
    eventually("the first probe", || {
        upstream
            .health_checks()
            .iter()
            .any(|check| check.last.is_some())
    })
    .await;
    let fails = || failing.discovery().sources[0].next_attempt.is_some();
    eventually("the failure", fails).await;
    let events = JsonEvents::to_function(|_| {});
    let collector = ServerCollector::new(proxy.handle.clone()).access_events(Arc::new(events));
    let mut all = Registry::default();
    all.register_collector(Box::new(collector));
    let sockets = Scraped::sockets_of(&proxy, 10);
    let text = encode_all(&[&all, &sockets.0], Format::OpenMetrics);
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
