//! Membership is followed, and kept while the API server fails.

use serde_json::json;
use test_support::kubernetes::Fault;
use test_support::kubernetes::objects::{endpoint, inner_service, node, pod, service, slice};

use super::{Cluster, host, until, until_refused, until_served};
use crate::sockets::{ask_times, eventually};

#[tokio::test]
async fn pods_of_a_service_are_added_and_removed() {
    let cluster = Cluster::start().await;
    cluster.endpoints(&[0, 1]);
    let proxy = cluster.proxy("kubernetes default/echo port=echo").await;
    assert_eq!(
        ask_times(proxy.addr, 4).await,
        ["node1", "node2", "node1", "node2"]
    );
    cluster.endpoints(&[0, 1, 2]);
    until(&proxy, &["node1", "node2", "node3"]).await;
    cluster.endpoints(&[2]);
    until(&proxy, &["node3"]).await;
}

#[tokio::test]
async fn nodes_are_backends_at_a_node_port() {
    let cluster = Cluster::start().await;
    let mut service = service("Cluster");
    service["spec"]["ports"][0]["nodePort"] = json!(cluster.port);
    cluster.api.put("services", service);
    cluster.api.put("nodes", node("node1", &host(0)));
    cluster.api.put("nodes", node("node2", &host(1)));
    let proxy = cluster
        .proxy("kubernetes default/echo port=80 address=node")
        .await;
    until(&proxy, &["node1", "node2"]).await;
    cluster.api.delete("nodes", "", "node1");
    until(&proxy, &["node2"]).await;
}

#[tokio::test]
async fn pods_with_a_label_are_backends_on_their_nodes() {
    let cluster = Cluster::start().await;
    cluster.api.put("pods", pod("echo-a", "node1", &host(0)));
    cluster.api.put("pods", pod("echo-c", "node3", &host(2)));
    let directive = format!("kubernetes_pods default/app=echo port={}", cluster.port);
    let proxy = cluster.proxy(&directive).await;
    until(&proxy, &["node1", "node3"]).await;
    cluster.api.delete("pods", "default", "echo-c");
    until(&proxy, &["node1"]).await;
}

#[tokio::test]
async fn a_deleted_service_leaves_no_backends_and_an_error_with_the_reason() {
    let cluster = Cluster::start().await;
    cluster.endpoints(&[0, 1]);
    let proxy = cluster.proxy("kubernetes default/echo").await;
    until(&proxy, &["node1", "node2"]).await;
    // Its slices remain, as with --cascade=orphan.
    cluster.api.delete("services", "default", "echo");
    until_refused(&proxy).await;
    proxy.logged("Source has no backends").await;
    let log = proxy.log();
    let line = log
        .lines()
        .find(|line| line.contains("Source has no backends"));
    let line = line.unwrap();
    assert!(line.contains("ERROR") || line.contains("[error]"), "{line}");
    assert!(line.contains("no such Service"), "{line}");
    cluster.api.put("services", inner_service());
    until_served(&proxy).await;
    until(&proxy, &["node1", "node2"]).await;
}

#[tokio::test]
async fn slices_that_are_passed_over_are_in_the_log() {
    let cluster = Cluster::start().await;
    cluster.endpoints(&[0]);
    let mut names = slice("by-hand", &[endpoint("echo.example.com", "x")]);
    names["addressType"] = json!("FQDN");
    cluster.api.put("endpointslices", names);
    let proxy = cluster.proxy("kubernetes default/echo").await;
    until(&proxy, &["node1"]).await;
    proxy.logged("EndpointSlice skipped").await;
    proxy.logged("its addresses are names").await;
    assert_eq!(proxy.count("EndpointSlice skipped"), 1);
}

#[tokio::test]
async fn a_cluster_that_was_restored_from_a_backup_is_followed_from_there() {
    let cluster = Cluster::start().await;
    cluster.endpoints(&[0]);
    let backup = cluster.api.backup();
    for machines in [&[0, 1][..], &[1], &[1, 2]] {
        cluster.endpoints(machines);
    }
    let proxy = cluster.proxy("kubernetes default/echo").await;
    until(&proxy, &["node2", "node3"]).await;
    eventually("a watch", || cluster.api.watches("endpointslices") > 0).await;
    cluster.api.restore_under_watch(&backup);
    cluster.endpoints(&[0, 2]);
    until(&proxy, &["node1", "node3"]).await;
    proxy
        .logged("API server returned to an earlier version")
        .await;
}

#[tokio::test]
async fn traffic_continues_whatever_the_api_server_does() {
    let mut cluster = Cluster::start().await;
    cluster.endpoints(&[0, 1]);
    let proxy = cluster.proxy("kubernetes default/echo").await;
    until(&proxy, &["node1", "node2"]).await;
    for (fault, logged) in [
        (Fault::Status(500), "500: set to fail"),
        (Fault::Status(401), "401 Unauthorized: set to fail"),
        (Fault::Status(403), "403 Forbidden: set to fail"),
        (Fault::Garbage, "the answer to a watch is no event: <html>"),
        (
            Fault::GarbageEvents,
            "the answer is not one of a Kubernetes API",
        ),
        (Fault::EmptyLists, "the list is empty, but had 1 before"),
    ] {
        cluster.api.compact();
        cluster.api.fault(fault);
        proxy.logged(logged).await;
        let answers = ask_times(proxy.addr, 4).await;
        assert_eq!(
            answers.iter().filter(|node| *node == "node1").count(),
            2,
            "{fault:?}"
        );
        cluster.api.fault(Fault::None);
        // The driver has seen the end of the fault before the next one begins.
        cluster.endpoints(&[0, 1, 2]);
        until(&proxy, &["node1", "node2", "node3"]).await;
        cluster.endpoints(&[0, 1]);
        until(&proxy, &["node1", "node2"]).await;
    }
    cluster.api.fault(Fault::Frozen);
    until(&proxy, &["node1", "node2"]).await;
    cluster.api.kill().await;
    proxy
        .logged("the API server cannot be reached: Connection refused")
        .await;
    until(&proxy, &["node1", "node2"]).await;
    cluster.api.fault(Fault::None);
    cluster.endpoints(&[1, 2]);
    cluster.api.restart().await;
    until(&proxy, &["node2", "node3"]).await;
}
