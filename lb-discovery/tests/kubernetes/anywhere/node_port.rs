//! The nodes of a cluster.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::anywhere;
use crate::place::Place;
use crate::sources::{run, shown, until, until_error};
use test_support::kubernetes::objects::{endpoint, inner_service, on_node, service, slice};

anywhere! {
    every_node_is_a_backend_unless_the_policy_is_local
    a_port_by_its_name_or_number
    a_service_without_a_node_port_says_what_to_do
}

struct Node {
    name: String,
    ip: IpAddr,
}

/// The nodes that must become backends, in the order of their addresses.
async fn nodes(place: &Place) -> Vec<Node> {
    let nodes = place.nodes().await;
    let mut nodes: Vec<_> = nodes
        .iter()
        .filter_map(|node| {
            let (metadata, taints) = (&node["metadata"], node["spec"]["taints"].as_array());
            let label =
                &metadata["labels"]["node.kubernetes.io/exclude-from-external-load-balancers"];
            let going = |taint: &Value| taint["key"] == "ToBeDeletedByClusterAutoscaler";
            let is_left_out = label.as_str().is_some_and(|value| value != "false")
                || metadata.get("deletionTimestamp").is_some()
                || taints.is_some_and(|taints| taints.iter().any(going));
            let addresses = node["status"]["addresses"].as_array()?.iter();
            let mut internal = addresses.filter(|address| address["type"] == "InternalIP");
            let ip =
                internal.find_map(|a| a["address"].as_str()?.parse().ok().filter(IpAddr::is_ipv4));
            Some(Node {
                name: metadata["name"].as_str()?.to_owned(),
                ip: ip.filter(|_| !is_left_out)?,
            })
        })
        .collect();
    nodes.sort_by_key(|node| node.ip);
    nodes
}

/// Creates or changes the Service, and returns its port on the nodes.
async fn put(place: &Place, policy: &str) -> u16 {
    place.put("services", service(policy)).await;
    let made = place.get("services", "echo").await;
    let port = made["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    port.try_into().unwrap()
}

async fn every_node_is_a_backend_unless_the_policy_is_local(place: &Place) {
    let nodes = nodes(place).await;
    let [first, ..] = &nodes[..] else {
        eprintln!("skipped: the cluster has no node with an address of IPv4");
        return;
    };
    let port = put(place, "Cluster").await;
    let at = |node: &Node| SocketAddr::new(node.ip, port).to_string();
    let all: Vec<String> = nodes.iter().map(at).collect();
    let mut running = run(place.node_port());
    let set = running.next().await;
    assert_eq!(shown(&set), all);
    let backend = set.iter().next().unwrap();
    assert_eq!(backend.name.as_ref(), Some(&first.name.as_str().into()));
    assert_eq!(backend.node, backend.name);
    let known = place.nodes().await;
    let known = known.iter().find(|n| n["metadata"]["name"] == *first.name);
    let metadata = &known.unwrap()["metadata"];
    assert_eq!(backend.instance.as_deref(), metadata["uid"].as_str());
    let zone = &metadata["labels"]["topology.kubernetes.io/zone"];
    assert_eq!(backend.zone.as_deref(), zone.as_str());
    if let Place::Ours(api) = place {
        let requests = api.server.requests();
        let asked = requests.iter().any(|r| r.path.ends_with("endpointslices"));
        assert!(!asked, "needs no right that it does not use");
    }

    // Two pods on the first node, and one on the second if there is one.
    let mut pods = vec![
        on_node(endpoint("10.0.0.1", "a"), &first.name),
        on_node(endpoint("10.0.0.2", "b"), &first.name),
    ];
    let mut local = vec![format!("{} x2", all[0])];
    if let Some(second) = nodes.get(1) {
        pods.push(on_node(endpoint("10.0.0.3", "c"), &second.name));
        local.push(at(second));
    }
    place.put("endpointslices", slice("echo-a", &pods)).await;
    assert_eq!(put(place, "Local").await, port);
    until(&mut running, &local).await;
    // One of the two ends.
    pods.remove(0);
    place.put("endpointslices", slice("echo-a", &pods)).await;
    local[0].clone_from(&all[0]);
    until(&mut running, &local).await;
    put(place, "Cluster").await;
    until(&mut running, &all).await;
}

async fn a_port_by_its_name_or_number(place: &Place) {
    let nodes = nodes(place).await;
    let port = put(place, "Cluster").await;
    let all = nodes
        .iter()
        .map(|node| SocketAddr::new(node.ip, port).to_string());
    let all: Vec<String> = all.collect();
    for source in [place.node_port().port("echo"), place.node_port().port(80)] {
        until(&mut run(source), &all).await;
    }
    let running = run(place.node_port().port("http"));
    let problem = "the Service has no TCP port \"http\", it has: 80 (\"echo\")";
    until_error(&running, problem).await;
}

async fn a_service_without_a_node_port_says_what_to_do(place: &Place) {
    place.put("services", inner_service()).await;
    let running = run(place.node_port());
    let problem = "the Service's type is ClusterIP: make it NodePort";
    until_error(&running, problem).await;
}
