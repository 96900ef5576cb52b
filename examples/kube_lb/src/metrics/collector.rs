//! The families.

use std::fmt;
use std::time::SystemTime;

use lb_proxy::Handle;
use lb_proxy::openmetrics::{Family, FamilyWriter, ProcessCollector, ServerCollector};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::{Registry, Unit};

use super::record::{ControllerMetrics, Counts, WriteResult};
use super::served::{ServedNames, kind};
use crate::clusters::Knowledge;
use crate::watch_health::KindHealth;

/// The metrics of the proxy of `handle`, of the process, and of the controller.
pub fn registry(handle: Handle, metrics: &ControllerMetrics) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ServerCollector::new(handle)));
    registry.register_collector(Box::new(ProcessCollector::new()));
    registry.register_with_unit(
        "kube_lb_reconcile_time",
        "Times from changed objects to an applied plan, without what is gathered before",
        Unit::Seconds,
        metrics.reconciles(),
    );
    registry.register_collector(Box::new(ControllerCollector(metrics.clone())));
    registry
}

#[derive(Debug)]
struct ControllerCollector(ControllerMetrics);

const NONE: [(&str, &str); 0] = [];

impl Collector for ControllerCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = FamilyWriter::new(encoder);
        to.gauges(
            &Family::new("kube_lb_build_info", "1, with the version of the program."),
            [([("version", env!("CARGO_PKG_VERSION"))], 1)],
        )?;
        let counts = self.0.counts();
        write_controller(&mut to, &counts)?;
        write_watches(&mut to, &self.0.watches().kinds())?;
        write_clusters(&mut to, &counts.clusters, SystemTime::now())?;
        write_served(&mut to, &counts.served)
    }
}

fn write_controller(to: &mut FamilyWriter<'_>, counts: &Counts) -> fmt::Result {
    to.counters(
        &Family::new(
            "kube_lb_plan_failures",
            "Plans that were not applied. What was served before is served on.",
        ),
        [(NONE, counts.failed_plans)],
    )?;
    to.gauges(
        &Family::new("kube_lb_objects", "Objects that are known, by kind."),
        counts
            .objects
            .iter()
            .map(|(kind, count)| ([("kind", *kind)], *count as u64)),
    )?;
    let mut kinds: Vec<_> = counts.writes.keys().map(|(kind, _)| *kind).collect();
    kinds.dedup();
    to.counters(
        &Family::new(
            "kube_lb_writes",
            "Attempts to write an object, by the plural name of its kind and the result.",
        ),
        kinds.iter().flat_map(|kind| {
            WriteResult::ALL.map(|result| {
                let count = counts.writes.get(&(*kind, result));
                let labels = [("kind", *kind), ("result", result.name())];
                (labels, count.copied().unwrap_or_default())
            })
        }),
    )?;
    to.counters(
        &Family::new(
            "kube_lb_writes_undone",
            "Writes that repeat the last one of the object, because another process had undone it.",
        ),
        counts
            .undone
            .iter()
            .map(|(kind, count)| ([("kind", *kind)], *count)),
    )?;
    to.gauges(
        &Family::new("kube_lb_writes_waiting", "Writes and Events that wait."),
        [(NONE, counts.waiting as u64)],
    )?;
    to.gauges(
        &Family::new("kube_lb_leader", "Whether this replica writes."),
        [(NONE, u64::from(counts.is_leader))],
    )?;
    to.counters(
        &Family::new(
            "kube_lb_leaderships",
            "How often this replica has begun to write.",
        ),
        [(NONE, counts.leaderships)],
    )?;
    to.counters(
        &Family::new(
            "kube_lb_lease_failures",
            "Attempts to read or renew the Lease that failed.",
        ),
        [(NONE, counts.failed_renewals)],
    )
}

fn write_watches(to: &mut FamilyWriter<'_>, kinds: &[KindHealth]) -> fmt::Result {
    let labels = |kind: &KindHealth| [("kind", kind.kind)];
    to.gauges(
        &Family::new(
            "kube_lb_watch_listed",
            "Whether the objects of the kind were listed once.",
        ),
        kinds
            .iter()
            .map(|kind| (labels(kind), u64::from(kind.is_listed))),
    )?;
    to.gauges(
        &Family::new(
            "kube_lb_watch_denied",
            "Whether the API server refuses to show the objects for want of permission.",
        ),
        kinds
            .iter()
            .map(|kind| (labels(kind), u64::from(kind.is_denied))),
    )?;
    to.gauges(
        &Family::in_seconds(
            "kube_lb_watch_stale",
            "How long every request for the objects has failed; 0 while the last one succeeded.",
        ),
        kinds
            .iter()
            .map(|kind| (labels(kind), kind.stale.as_secs_f64())),
    )?;
    to.counters(
        &Family::new(
            "kube_lb_watch_failures",
            "Requests for the objects that failed.",
        ),
        kinds.iter().map(|kind| (labels(kind), kind.failures)),
    )
}

fn write_clusters(
    to: &mut FamilyWriter<'_>,
    clusters: &[(String, Knowledge)],
    now: SystemTime,
) -> fmt::Result {
    to.gauges(
        &Family::new(
            "kube_lb_cluster_state",
            "1 for the state of what is known of the cluster, 0 for the others.",
        ),
        clusters.iter().flat_map(|(name, knowledge)| {
            let states = [
                ("current", *knowledge == Knowledge::Current),
                ("old", matches!(knowledge, Knowledge::AsOf(_))),
                ("unknown", *knowledge == Knowledge::Nothing),
            ];
            states.map(|(state, is_so)| {
                let labels = [("cluster", name.as_str()), ("state", state)];
                (labels, u64::from(is_so))
            })
        }),
    )?;
    to.gauges(
        &Family::in_seconds(
            "kube_lb_cluster_age",
            "How old what is known of the cluster is; 0 while every change is followed. Without a value while nothing is known.",
        ),
        clusters.iter().filter_map(|(name, knowledge)| {
            let age = knowledge.age(now)?;
            Some(([("cluster", name.as_str())], age.as_secs_f64()))
        }),
    )
}

fn write_served(to: &mut FamilyWriter<'_>, served: &ServedNames) -> fmt::Result {
    let listeners = &served.listeners;
    let refused = listeners.iter().filter(|listener| listener.is_refused);
    let refused = refused.count() as u64;
    to.gauges(
        &Family::new(
            "kube_lb_listeners",
            "Addresses and ports of the plan, by whether the machine listens there.",
        ),
        [
            ([("state", "listening")], listeners.len() as u64 - refused),
            ([("state", "refused")], refused),
        ],
    )?;
    to.gauges(
        &Family::new(
            "kube_lb_problems",
            "Problems of objects, by what they are about.",
        ),
        served
            .problems
            .iter()
            .map(|(about, count)| ([("about", *about)], *count as u64)),
    )?;
    write_names(to, served)
}

/// Joins the names of objects to the metrics of the proxy.
fn write_names(to: &mut FamilyWriter<'_>, served: &ServedNames) -> fmt::Result {
    let addrs: Vec<String> = served
        .listeners
        .iter()
        .map(|listener| listener.addr.to_string())
        .collect();
    let listeners = || addrs.iter().map(String::as_str).zip(&served.listeners);
    to.gauges(
        &Family::new(
            "kube_lb_listener_info",
            "1, with the object that a listener of the proxy is served for.",
        ),
        listeners().map(|(addr, listener)| {
            let owner = &listener.owner;
            let labels = [
                ("listener", addr),
                ("kind", kind(owner)),
                ("namespace", &owner.namespace),
                ("name", &owner.name),
                ("part", &listener.part),
            ];
            (labels, 1)
        }),
    )?;
    to.gauges(
        &Family::new(
            "kube_lb_route_info",
            "1, with a route that gets connections of a listener of the proxy.",
        ),
        listeners().flat_map(|(addr, listener)| {
            listener.routes.iter().map(move |route| {
                let labels = [
                    ("listener", addr),
                    ("kind", route.kind),
                    ("namespace", &route.name.namespace),
                    ("name", &route.name.name),
                ];
                (labels, 1)
            })
        }),
    )?;
    let ports: Vec<String> = served
        .upstreams
        .iter()
        .map(|upstream| upstream.port.to_string())
        .collect();
    to.gauges(
        &Family::new(
            "kube_lb_upstream_info",
            "1, with the Service and port that an upstream of the proxy has the backends of.",
        ),
        served.upstreams.iter().zip(&ports).map(|(upstream, port)| {
            let labels = [
                ("upstream", &*upstream.name),
                ("namespace", &upstream.service.namespace),
                ("service", &upstream.service.name),
                ("port", port),
            ];
            (labels, 1)
        }),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use lb_proxy::Proxy;
    use lb_proxy::openmetrics::{Format, encode};

    use super::super::served::{ServedListener, ServedUpstream};
    use super::*;
    use crate::addresses::Owner;
    use crate::objects::ObjectName;
    use crate::plan::RouteName;

    /// The names and types of the table in the documents.
    fn documented() -> BTreeSet<(&'static str, &'static str)> {
        let document = include_str!("../../docs/metrics.md");
        let rows = document
            .lines()
            .filter(|line| line.starts_with("| `kube_lb_"));
        let cells = rows.map(|row| {
            let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`'));
            (cells.nth(1).unwrap(), cells.next().unwrap())
        });
        cells
            .filter(|(name, _)| name.chars().all(|c| c == '_' || c.is_ascii_lowercase()))
            .collect()
    }

    fn served() -> ServedNames {
        let gateway = Owner::gateway("default", "gw");
        let service = Owner::service("default", "we\"b");
        let listener = |addr: &str, owner, part: &str, routes, is_refused| ServedListener {
            addr: addr.parse().unwrap(),
            owner,
            part: part.to_owned(),
            routes,
            is_refused,
        };
        let route = RouteName {
            kind: "TCPRoute",
            name: ObjectName::new("default", "echo"),
        };
        ServedNames {
            listeners: vec![
                listener("192.0.2.1:80", service, "port 80", Vec::new(), false),
                listener(
                    "[2001:db8::1]:81",
                    gateway,
                    "listener one",
                    vec![route],
                    true,
                ),
            ],
            upstreams: vec![ServedUpstream {
                name: "default/web:80".into(),
                service: ObjectName::new("default", "web"),
                port: 80,
            }],
            problems: BTreeMap::from([("address", 2)]),
        }
    }

    #[tokio::test]
    async fn a_scrape_has_every_documented_metric_and_those_of_the_proxy() {
        let proxy = Proxy::builder().may_be_empty(true).build().unwrap();
        let server = proxy.bind().await.unwrap();
        let metrics = ControllerMetrics::default();
        metrics.reconciled(Duration::from_millis(2));
        metrics.plan_failed();
        for result in [
            WriteResult::Written,
            WriteResult::Written,
            WriteResult::Refused,
        ] {
            metrics.wrote("services", result);
        }
        metrics.undone("services");
        metrics.waiting(4);
        for leads in [true, true, false, true] {
            metrics.leads(leads);
        }
        metrics.watches().listed("services");
        metrics.know(BTreeMap::from([("services", 3)]));
        metrics.serve(served());
        let long_ago = SystemTime::now() - Duration::from_secs(100_000);
        metrics.follow(vec![
            ("west".to_owned(), Knowledge::Current),
            ("east".to_owned(), Knowledge::AsOf(long_ago)),
            ("new".to_owned(), Knowledge::Nothing),
        ]);
        let registry = registry(server.handle(), &metrics);

        let text = encode(&registry, Format::Prometheus);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let found = types.filter_map(|line| line.split_once(' '));
        let found: BTreeSet<_> = found
            .filter(|(name, _)| name.starts_with("kube_lb_"))
            .collect();
        assert_eq!(found, documented());
        for line in [
            "kube_lb_reconcile_time_seconds_count 1",
            "kube_lb_plan_failures_total 1",
            "kube_lb_writes_total{kind=\"services\",result=\"written\"} 2",
            "kube_lb_writes_total{kind=\"services\",result=\"refused\"} 1",
            "kube_lb_writes_total{kind=\"services\",result=\"conflict\"} 0",
            "kube_lb_writes_waiting 4",
            "kube_lb_leader 1",
            "kube_lb_leaderships_total 2",
            "kube_lb_watch_listed{kind=\"services\"} 1",
            "kube_lb_watch_stale_seconds{kind=\"services\"} 0",
            "kube_lb_objects{kind=\"services\"} 3",
            "kube_lb_cluster_state{cluster=\"west\",state=\"current\"} 1",
            "kube_lb_cluster_state{cluster=\"east\",state=\"current\"} 0",
            "kube_lb_cluster_state{cluster=\"east\",state=\"old\"} 1",
            "kube_lb_cluster_state{cluster=\"new\",state=\"unknown\"} 1",
            "kube_lb_cluster_age_seconds{cluster=\"west\"} 0",
            "kube_lb_cluster_age_seconds{cluster=\"east\"} 10000",
            "kube_lb_listeners{state=\"listening\"} 1",
            "kube_lb_listeners{state=\"refused\"} 1",
            "kube_lb_problems{about=\"address\"} 2",
            "kube_lb_listener_info{listener=\"192.0.2.1:80\",kind=\"Service\",namespace=\"default\",name=\"we\\\"b\",part=\"port 80\"} 1",
            "kube_lb_route_info{listener=\"[2001:db8::1]:81\",kind=\"TCPRoute\",namespace=\"default\",name=\"echo\"} 1",
            "kube_lb_upstream_info{upstream=\"default/web:80\",namespace=\"default\",service=\"web\",port=\"80\"} 1",
            "lb_server_sessions_active 0",
            "process_threads",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("kube_lb_cluster_age_seconds{cluster=\"new\""));
    }
}
