//! Invalid and oversized answers, and objects with almost no fields.

use serde_json::json;

use crate::chaos::{started, survives, two};
use crate::place::Place;
use crate::sources::{Api, run, shown, until, until_error};
use test_support::kubernetes::Fault;
use test_support::kubernetes::objects::{inner_service, node, service};

#[tokio::test]
async fn an_endless_error_answer() {
    survives(Fault::EndlessComplaint, "500: {\"items\": [\"xxx").await;
}

/// A list with this fault is an error, and changes no backend.
async fn survives_lists(fault: Fault, error: &str) {
    let (api, mut running) = started().await;
    api.server.compact();
    api.server.fault(fault);
    until_error(&running, error).await;
    assert_eq!(running.handle.status().sources[0].backends, 1);
    api.server.put("endpointslices", two());
    api.server.fault(Fault::None);
    let wanted = ["10.0.0.1:8080", "10.0.0.2:8080"];
    assert_eq!(shown(&running.next().await), wanted);
}

#[tokio::test]
async fn an_endless_list() {
    survives_lists(Fault::EndlessList, "a page has more than 67108864 bytes").await;
}

#[tokio::test]
async fn endless_pages() {
    let error = "101 pages in a row without a new object, and no end";
    survives_lists(Fault::EndlessPages, error).await;
}

#[tokio::test]
async fn a_deeply_nested_list() {
    survives_lists(
        Fault::DeepLists,
        "the answer is not one of a Kubernetes API",
    )
    .await;
}

#[tokio::test]
async fn an_invalid_event_is_quoted_in_part() {
    for (fault, error) in [
        (Fault::LongEvents, "is not one of a Kubernetes API: invalid"),
        (
            Fault::LongLine,
            "the answer to a watch is no event: <html>xxx",
        ),
    ] {
        let (api, running) = started().await;
        api.server.fault(fault);
        until_error(&running, error).await;
        let error = running.handle.status().sources[0].last_error.clone();
        assert!(error.unwrap().len() < 600);
    }
}

#[tokio::test]
async fn bookmarks_without_a_version() {
    survives(Fault::BareBookmarks, "an answer without a resourceVersion").await;
}

#[tokio::test]
async fn an_endpoint_with_only_an_address() {
    let api = Api::start().await;
    let labels = json!({"kubernetes.io/service-name": "echo"});
    let slice = |name, rest: serde_json::Value| {
        let metadata = json!({"name": name, "namespace": "default", "labels": labels});
        let mut slice = json!({"metadata": metadata, "addressType": "IPv4"});
        slice
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        slice
    };
    let endpoint = json!({"addresses": ["10.0.0.1"]});
    let of_use = json!({"ports": [{"port": 8080}], "endpoints": [endpoint]});
    api.server.put("endpointslices", slice("echo-a", of_use));
    let no_address = json!({"ports": [{"port": 8080}], "endpoints": [{"addresses": []}]});
    api.server
        .put("endpointslices", slice("echo-b", no_address));
    let nothing = json!({"endpoints": []});
    api.server.put("endpointslices", slice("echo-c", nothing));
    let mut unnamed = inner_service();
    let port = unnamed["spec"]["ports"][0].as_object_mut().unwrap();
    port.remove("name");
    api.server.put("services", unnamed);
    let mut running = run(api.slices());
    until(&mut running, &["10.0.0.1:8080"]).await;
}

#[tokio::test]
async fn nodes_services_and_pods_without_fields() {
    let place = Place::ours().await;
    let Place::Ours(api) = &place else {
        unreachable!()
    };
    api.server
        .put("nodes", json!({"metadata": {"name": "bare"}}));
    let bare = json!({"metadata": {"name": "echo", "namespace": "default"}});
    api.server.put("services", bare);
    let mut nodes = run(place.node_port());
    until_error(
        &nodes,
        "say which port of the Service is meant, it has: none",
    )
    .await;
    api.server.put("services", service("Cluster"));
    let all = ["10.1.0.1:30080", "10.1.0.2:30080", "10.1.0.3:30080"];
    until(&mut nodes, &all).await;

    let labels = json!({"app": "echo"});
    let bare = json!({"metadata": {"name": "bare", "namespace": "default", "labels": labels}});
    api.server.put("pods", bare);
    let mut pods = run(place.pods());
    until::<&str>(&mut pods, &[]).await;
}

#[tokio::test]
async fn a_recreated_service_has_its_new_port() {
    let api = Api::start().await;
    api.server.put("nodes", node("node-1", "10.1.0.1"));
    api.server.put("services", service("Cluster"));
    let mut running = run(api.node_port());
    until(&mut running, &["10.1.0.1:30080"]).await;
    api.server.delete("services", "default", "echo");
    until::<&str>(&mut running, &[]).await;
    until_error(&running, "no such Service").await;
    let mut anew = service("Cluster");
    anew["spec"]["ports"][0]["nodePort"] = json!(31080);
    api.server.put("services", anew);
    until(&mut running, &["10.1.0.1:31080"]).await;
}
