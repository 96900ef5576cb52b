//! Pods that listen on ports of their nodes.

use lb_discovery::kubernetes::Pods;
use serde_json::json;

use super::anywhere;
use crate::place::Place;
use crate::sources::{run, shown, until, until_error};
use test_support::kubernetes::objects::{daemon_set, deployment, not_ready, pod};

anywhere! {
    pods_of_a_daemon_set_are_reached_on_their_nodes
    pods_of_a_deployment
    pods_that_are_not_ready_are_left_out
    a_host_port_is_reached_on_the_node
    a_daemon_set_that_does_not_exist_is_not_found
}

async fn pods_of_a_daemon_set_are_reached_on_their_nodes(place: &Place) {
    place.put("daemonsets", daemon_set("echo")).await;
    place.put("pods", pod("echo-a", "node-1", "10.1.0.1")).await;
    place.put("pods", pod("echo-b", "node-2", "10.1.0.2")).await;
    let mut other = pod("other", "node-3", "10.1.0.3");
    other["metadata"]["labels"]["app"] = json!("other");
    place.put("pods", other).await;
    let source = Pods::try_daemon_set(place.cluster(), place.namespace(), "echo", 446).unwrap();
    let mut running = run(source);
    let set = running.next().await;
    assert_eq!(shown(&set), ["10.1.0.1:446", "10.1.0.2:446"]);
    let first = set.iter().next().unwrap();
    let known = place.get("pods", "echo-a").await;
    assert_eq!(first.name.as_deref(), known["spec"]["nodeName"].as_str());
    let uid = known["metadata"]["uid"].as_str();
    assert_eq!(first.instance.as_deref(), uid);

    place.begin_to_delete("echo-a").await;
    until(&mut running, &["10.1.0.1:446 (drain)", "10.1.0.2:446"]).await;
    place.delete("pods", "echo-a").await;
    until(&mut running, &["10.1.0.2:446"]).await;
    place.put("pods", pod("echo-c", "node-1", "10.1.0.1")).await;
    until(&mut running, &["10.1.0.1:446", "10.1.0.2:446"]).await;
}

async fn pods_of_a_deployment(place: &Place) {
    place.put("deployments", deployment("echo")).await;
    place.put("pods", pod("echo-a", "node-1", "10.1.0.1")).await;
    let source = Pods::try_deployment(place.cluster(), place.namespace(), "echo", "echo").unwrap();
    until(&mut run(source), &["10.1.0.1:446"]).await;
}

async fn pods_that_are_not_ready_are_left_out(place: &Place) {
    let failing = not_ready(pod("echo-b", "node-2", "10.1.0.2"));
    place.put("pods", pod("echo-a", "node-1", "10.1.0.1")).await;
    place.put("pods", failing.clone()).await;
    let mut running = run(place.pods());
    until(&mut running, &["10.1.0.1:446"]).await;
    place.put("pods", pod("echo-b", "node-2", "10.1.0.2")).await;
    until(&mut running, &["10.1.0.1:446", "10.1.0.2:446"]).await;
    place.put("pods", failing).await;
    until(&mut running, &["10.1.0.1:446"]).await;
}

async fn a_host_port_is_reached_on_the_node(place: &Place) {
    let mut inside = pod("echo-a", "node-1", "10.1.0.1");
    inside["spec"]["hostNetwork"] = json!(false);
    inside["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(8080);
    place.put("pods", inside).await;
    until(&mut run(place.pods()), &["10.1.0.1:446"]).await;
}

async fn a_daemon_set_that_does_not_exist_is_not_found(place: &Place) {
    let source = Pods::try_daemon_set(place.cluster(), place.namespace(), "echo", 446).unwrap();
    let running = run(source);
    let watching = format!("watching daemonsets of {}/echo", place.namespace());
    until_error(&running, &watching).await;
    until_error(&running, "it does not exist").await;
}
