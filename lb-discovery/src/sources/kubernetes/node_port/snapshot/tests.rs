use serde_json::{Value, from_value, json};

use std::collections::BTreeMap;

use super::*;
use crate::sources::kubernetes::objects::projection::Projection;

fn service(policy: &str) -> Service {
    Service::of(
        from_value(json!({
            "metadata": {"name": "a"},
            "spec": {
                "type": "NodePort", "externalTrafficPolicy": policy, "selector": {"app": "a"},
                "ports": [
                    {"name": "http", "port": 80, "nodePort": 30080},
                    {"name": "admin", "port": 81, "nodePort": 30081},
                    {"name": "dns", "port": 53, "nodePort": 30053, "protocol": "UDP"},
                ],
            },
        }))
        .unwrap(),
    )
}

fn node(addresses: &[(&str, &str)]) -> Value {
    let addresses = addresses
        .iter()
        .map(|(kind, address)| json!({"type": kind, "address": address}));
    json!({
        "metadata": {"name": "a"},
        "spec": {},
        "status": {"addresses": addresses.collect::<Vec<_>>(), "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn internal(ip: &str) -> Value {
    node(&[("InternalIP", ip)])
}

fn options() -> NodeOptions {
    NodeOptions {
        port: Some("http".into()),
        families: Families::default(),
        addresses: [NodeAddress::Internal].into(),
        ready_only: false,
    }
}

fn by_name(nodes: &BTreeMap<String, Node>) -> impl Iterator<Item = (&str, &Node)> + Clone {
    nodes.iter().map(|(name, node)| (name.as_str(), node))
}

/// The nodes are `a`, `b` and so on.
fn map(service: &Service, nodes: &[Value], slices: &[Slice], options: &NodeOptions) -> Vec<String> {
    let names = ('a'..).map(String::from);
    let nodes = nodes
        .iter()
        .map(|n| Node::of(from_value(n.clone()).unwrap()));
    let nodes: BTreeMap<_, _> = names.zip(nodes).collect();
    let snapshot = snapshot(service, by_name(&nodes), slices.iter(), options).unwrap();
    let backends = snapshot.iter().map(|backend| {
        let (addr, weight) = (backend.addr, backend.weight.get());
        match backend.admin {
            AdminState::Ready => format!("{addr} x{weight}"),
            _ => format!("{addr} drains"),
        }
    });
    backends.collect()
}

fn cluster(nodes: &[Value], options: &NodeOptions) -> Vec<String> {
    map(&service("Cluster"), nodes, &[], options)
}

fn slice(port: &str, endpoints: &[(&str, &str, [bool; 3])]) -> Slice {
    let endpoints = endpoints
        .iter()
        .map(|(ip, node, [ready, serving, terminating])| {
            json!({
                "addresses": [ip], "nodeName": node,
                "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
            })
        });
    Slice::of(
        from_value(json!({
            "metadata": {"name": "a"}, "addressType": "IPv4",
            "ports": [{"name": port, "port": 8080}],
            "endpoints": endpoints.collect::<Vec<_>>(),
        }))
        .unwrap(),
    )
}

const READY: [bool; 3] = [true, true, false];
const ENDING: [bool; 3] = [false, true, true];
const ENDED: [bool; 3] = [false, false, true];
const STARTING: [bool; 3] = [false, false, false];

#[test]
fn the_port_is_the_node_port_of_the_service_port() {
    let nodes = [internal("10.1.0.1")];
    assert_eq!(cluster(&nodes, &options()), ["10.1.0.1:30080 x1"]);
    let admin = NodeOptions {
        port: Some(81.into()),
        ..options()
    };
    assert_eq!(cluster(&nodes, &admin), ["10.1.0.1:30081 x1"]);
    for (port, problem) in [
        (
            None,
            "say which port of the Service is meant, it has: 80 (\"http\"), 81 (\"admin\")",
        ),
        (
            Some(30080.into()),
            "the Service has no TCP port 30080, it has: 80 (\"http\"), 81 (\"admin\")",
        ),
        (
            Some("dns".into()),
            "the Service has no TCP port \"dns\", it has: 80 (\"http\"), 81 (\"admin\")",
        ),
    ] {
        let options = NodeOptions { port, ..options() };
        let result = snapshot(&service("Cluster"), std::iter::empty(), [].iter(), &options);
        assert_eq!(result.unwrap_err(), problem);
    }
}

#[test]
fn excluded_nodes() {
    const LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
    for value in ["", "true", "yes", "false", "0", "F"] {
        let mut labelled = internal("10.1.0.1");
        labelled["metadata"]["labels"] = json!({LABEL: value});
        let beside = internal("10.1.0.9");
        let excluded = cluster(&[labelled, beside], &options()).len() == 1;
        assert_eq!(excluded, !matches!(value, "false" | "0" | "F"), "{value:?}");
    }
    let mut tainted = internal("10.1.0.1");
    tainted["spec"]["taints"] =
        json!([{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]);
    let mut deleted = internal("10.1.0.2");
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut cordoned = internal("10.1.0.3");
    cordoned["spec"] = json!({"unschedulable": true, "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]});
    let mut unready = internal("10.1.0.4");
    unready["status"]["conditions"] = json!([{"type": "Ready", "status": "Unknown"}]);
    let nodes = [tainted, deleted, cordoned, unready];
    let kept = ["10.1.0.3:30080 x1", "10.1.0.4:30080 x1"];
    assert_eq!(cluster(&nodes, &options()), kept);
    let ready_only = NodeOptions {
        ready_only: true,
        ..options()
    };
    assert_eq!(cluster(&nodes, &ready_only), kept[..1]);
}

#[test]
fn addresses_by_type_then_by_family() {
    let both = [
        node(&[
            ("ExternalIP", "192.0.2.1"),
            ("InternalIP", "10.1.0.1"),
            ("InternalIP", "fd00::1"),
        ]),
        node(&[("Hostname", "10.1.0.9"), ("InternalIP", "fd00::2")]),
    ];
    let with = |addresses: &[NodeAddress], families| {
        let options = NodeOptions {
            addresses: addresses.into(),
            families,
            ..options()
        };
        cluster(&both, &options)
    };
    let internal = [NodeAddress::Internal];
    let external_first = [NodeAddress::External, NodeAddress::Internal];
    assert_eq!(
        with(&internal, Families::PreferIpv4),
        ["10.1.0.1:30080 x1", "[fd00::2]:30080 x1"]
    );
    assert_eq!(with(&internal, Families::Ipv4), ["10.1.0.1:30080 x1"]);
    assert_eq!(
        with(&internal, Families::PreferIpv6),
        ["[fd00::1]:30080 x1", "[fd00::2]:30080 x1"]
    );
    assert_eq!(
        with(&external_first, Families::PreferIpv4),
        ["192.0.2.1:30080 x1", "[fd00::2]:30080 x1"]
    );

    let mut single = service("Cluster");
    single.families = [IpFamily::V4].into();
    assert_eq!(map(&single, &both, &[], &options()), ["10.1.0.1:30080 x1"]);
}

#[test]
fn local_weighs_nodes_by_the_pods_that_serve_there() {
    let nodes = [
        internal("10.1.0.1"),
        internal("10.1.0.2"),
        internal("10.1.0.3"),
        internal("10.1.0.4"),
    ];
    let local = |slices: &[Slice]| map(&service("Local"), &nodes, slices, &options());
    let pods = slice(
        "http",
        &[
            ("10.0.0.1", "a", READY),
            ("10.0.0.2", "a", READY),
            ("10.0.0.3", "a", ENDING),
            ("10.0.0.4", "b", READY),
            ("10.0.0.5", "b", STARTING),
            ("10.0.0.6", "c", ENDING),
            ("10.0.0.7", "d", STARTING),
            ("10.0.0.8", "elsewhere", READY),
        ],
    );
    // One endpoint in two slices, and one of another port.
    let again = slice("http", &[("10.0.0.1", "a", ENDING)]);
    let other = slice("admin", &[("10.0.0.9", "d", READY)]);
    assert_eq!(
        local(&[pods, again, other]),
        [
            "10.1.0.1:30080 x2",
            "10.1.0.2:30080 x1",
            "10.1.0.3:30080 drains"
        ]
    );
    let ending = slice(
        "http",
        &[("10.0.0.1", "a", ENDING), ("10.0.0.2", "b", ENDED)],
    );
    assert_eq!(
        local(&[ending]),
        ["10.1.0.1:30080 x1", "10.1.0.2:30080 drains"]
    );
    let vacant = slice("http", &[]);
    assert!(local(&[vacant]).is_empty());
}

#[test]
fn the_reason_without_a_node_is_reported() {
    let reason = |service: &Service, nodes: &[Value], slices: &[Slice]| {
        let names = ('a'..).map(String::from);
        let nodes = nodes
            .iter()
            .map(|n| Node::of(from_value(n.clone()).unwrap()));
        let nodes: BTreeMap<_, _> = names.zip(nodes).collect();
        snapshot(service, by_name(&nodes), slices.iter(), &options()).unwrap_err()
    };
    let (one, plain) = ([internal("10.1.0.1")], service("Cluster"));
    assert_eq!(
        reason(&plain, &[], &[]),
        "no node may have connections: 0 are listed, all of them left out"
    );
    let mut v6 = plain.clone();
    v6.families = [IpFamily::V6].into();
    assert!(reason(&v6, &one, &[]).starts_with("of 1 nodes 0 are left out and no other has"));
    let mut external = plain;
    external.kind = "ExternalName".into();
    assert!(reason(&external, &one, &[]).contains("type is ExternalName"));
    let local = service("Local");
    assert_eq!(
        reason(&local, &one, &[]),
        "the Service has no EndpointSlice"
    );
    let other = slice("admin", &[("10.0.0.1", "a", READY)]);
    assert_eq!(
        reason(&local, &one, &[other]),
        "no endpoint has a TCP port \"http\", they have: 8080 (\"admin\")"
    );
}
