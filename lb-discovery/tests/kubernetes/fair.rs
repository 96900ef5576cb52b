//! With `externalTrafficPolicy: Local` every pod has the same share, however uneven the nodes are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;

use lb_core::policy::PolicyKind;
use lb_core::{
    Backend, PickRequest, Rng, Snapshot, SplitMix64, Timestamp, Tried, Weight, balancer,
};
use serde_json::Value;

use crate::sources::{Api, run};
use test_support::kubernetes::objects::{endpoint, node, on_node, service, slice};

/// How many pods each node runs.
const PODS: [u8; 5] = [7, 1, 1, 3, 8];

/// The chi-square distribution with 19 degrees of freedom exceeds this once in a thousand.
const CRITICAL: f64 = 43.82;

const PICKS: u32 = 200_000;

/// Picks a node, then one of its pods as kube-proxy does: at random.
fn chi_square(nodes: &Snapshot, policy: PolicyKind) -> f64 {
    let (mut updater, balancer) = balancer(policy.build());
    updater.apply(nodes, Timestamp::default());
    let mut rng = SplitMix64::new(7);
    let mut connections: BTreeMap<(SocketAddr, u64), u32> = BTreeMap::new();
    for _ in 0..PICKS {
        let tried = Tried::default();
        let request = PickRequest::new(&tried);
        let pick = balancer
            .pick(&request, Timestamp::default(), &mut rng)
            .unwrap();
        let addr = pick.backend().addr;
        let pods = PODS[usize::from(host(addr)) - 1];
        let pod = rng.below(NonZeroU64::new(pods.into()).unwrap());
        *connections.entry((addr, pod)).or_default() += 1;
    }
    let pods: u32 = PODS.iter().copied().map(u32::from).sum();
    assert_eq!(connections.len(), pods as usize);
    let expected = f64::from(PICKS) / f64::from(pods);
    let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
    connections.values().map(square).sum()
}

fn host(addr: SocketAddr) -> u8 {
    match addr {
        SocketAddr::V4(addr) => addr.ip().octets()[3],
        SocketAddr::V6(_) => unreachable!("the nodes have IPv4"),
    }
}

#[tokio::test]
async fn every_pod_has_the_same_share_behind_uneven_nodes() {
    let api = Api::start().await;
    api.server.put("services", service("Local"));
    let mut endpoints: Vec<Value> = Vec::new();
    for (number, pods) in (1..).zip(PODS) {
        let name = format!("node-{number}");
        api.server
            .put("nodes", node(&name, &format!("10.1.0.{number}")));
        for pod in 0..pods {
            let pod = endpoint(
                &format!("10.0.{number}.{pod}"),
                &format!("pod-{number}-{pod}"),
            );
            endpoints.push(on_node(pod, &name));
        }
    }
    // In two slices, as if there were many.
    let (first, second) = endpoints.split_at(9);
    api.server.put("endpointslices", slice("echo-a", first));
    api.server.put("endpointslices", slice("echo-b", second));
    let nodes = run(api.node_port()).next().await;
    for policy in [PolicyKind::Random, PolicyKind::WeightedRoundRobin] {
        let found = chi_square(&nodes, policy);
        assert!(found < CRITICAL, "{policy:?}: {found}");
    }
    let alike: Snapshot = nodes
        .iter()
        .map(|backend: &Backend| backend.clone().weight(Weight::default()))
        .collect();
    assert!(
        chi_square(&alike, PolicyKind::Random) > 1000.0 * CRITICAL,
        "the test sees a difference"
    );
}
