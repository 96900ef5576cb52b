//! Watches and requests for programs that follow and change objects by themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lb_core::AdminState;
use lb_discovery::DiscoveryError;
use lb_discovery::kubernetes::controller::{
    ApiMethod, ApiObject, ApiRequest, ApiRequests, ClusterNode, Collection, EndpointSlice,
    Metadata, ObjectEvent, ObjectWatch, ServiceOutline, nodes, pods,
};
use lb_discovery::kubernetes::{Cluster, Families};
use serde_json::{Value, json};
use test_support::deadline::{secs, within};
use test_support::kubernetes::objects::{endpoint, node, on_node, slice, with_condition};
use test_support::kubernetes::{ApiServer, Fault};

/// A Service with its labels and selector, and no annotations.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
struct Object {
    metadata: Metadata,
    spec: Value,
}

impl ApiObject for Object {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn trim(&mut self) {
        self.metadata.annotations.clear();
    }
}

struct World {
    api: ApiServer,
    _dir: tempfile::TempDir,
    cluster: Cluster,
}

async fn world() -> World {
    let api = ApiServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = api.kubeconfig(dir.path(), "", "token: secret");
    let cluster = Cluster::kubeconfig(kubeconfig)
        .watch_timeout(secs(2))
        .request_timeout(secs(2));
    World {
        api,
        _dir: dir,
        cluster,
    }
}

fn object(namespace: &str, name: &str, value: u32) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}, "annotations": {"a": "b"}, "finalizers": null},
        "spec": value,
    })
}

async fn next(watch: &mut ObjectWatch<Object>) -> String {
    match within("an event", watch.next()).await {
        ObjectEvent::Applied { key, object } => {
            assert_eq!(key, object.metadata().key());
            assert!(object.metadata.annotations.is_empty() && !object.metadata.labels.is_empty());
            format!("{key}={}", object.spec)
        }
        ObjectEvent::Deleted { key } => format!("{key} deleted"),
        ObjectEvent::Failed(_) => "failed".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[tokio::test]
async fn objects_of_all_namespaces_are_reported_by_key() {
    let World { api, cluster, .. } = &world().await;
    for namespace in ["a", "b"] {
        for name in ["one", "two"] {
            api.put("services", object(namespace, name, 1));
        }
    }
    let services = Collection::new("/api/v1", "services");
    let cluster = cluster.clone().page_size(1);
    let mut watch = ObjectWatch::follow(&cluster, services.clone());
    for expected in ["a/one=1", "a/two=1", "b/one=1", "b/two=1", "listed"] {
        assert_eq!(next(&mut watch).await, expected);
    }
    api.put("services", object("b", "one", 2));
    assert_eq!(next(&mut watch).await, "b/one=2");
    api.delete("services", "a", "two");
    assert_eq!(next(&mut watch).await, "a/two deleted");
    let mut of_namespace = ObjectWatch::follow(&cluster, services.namespace("b").labels("app=two"));
    assert_eq!(next(&mut of_namespace).await, "b/two=1");
    assert_eq!(next(&mut of_namespace).await, "listed");
    let mut empty = ObjectWatch::follow(&cluster, Collection::new("/api/v1", "nodes"));
    assert_eq!(next(&mut empty).await, "listed");
}

#[tokio::test]
async fn after_a_failure_only_differences_are_reported() {
    let World {
        mut api,
        cluster,
        _dir,
    } = world().await;
    for name in ["changed", "deleted", "kept"] {
        api.put("services", object("a", name, 1));
    }
    let mut watch = ObjectWatch::follow(&cluster, Collection::new("/api/v1", "services"));
    for _ in 0..4 {
        next(&mut watch).await;
    }
    api.kill().await;
    assert_eq!(next(&mut watch).await, "failed");
    api.put("services", object("a", "changed", 2));
    api.put("services", object("a", "new", 1));
    api.delete("services", "a", "deleted");
    api.restart().await;
    let mut events = Vec::new();
    while events.last().is_none_or(|last| *last != "a/new=1") {
        events.push(next(&mut watch).await);
        events.retain(|event| event != "failed");
    }
    assert_eq!(
        events,
        ["recovered", "a/changed=2", "a/deleted deleted", "a/new=1"]
    );
    // Without a difference it says that the server answers again.
    api.fault(Fault::Status(500));
    assert_eq!(next(&mut watch).await, "failed");
    api.fault(Fault::None);
    let mut event = next(&mut watch).await;
    while event == "failed" {
        event = next(&mut watch).await;
    }
    assert_eq!(event, "recovered");
    // A version that the server no longer has is no failure.
    api.compact();
    api.end_watches();
    api.put("services", object("a", "new", 2));
    assert_eq!(next(&mut watch).await, "a/new=2");
}

/// The objects of a program that knew these before.
fn known(objects: &[(&str, u32)]) -> BTreeMap<String, Arc<Object>> {
    let objects = objects.iter().map(|(name, value)| {
        let object = serde_json::from_value(object("a", name, *value)).unwrap();
        (format!("a/{name}"), Arc::new(object))
    });
    objects.collect()
}

#[tokio::test]
async fn a_watch_that_begins_with_objects_reports_the_differences_from_them() {
    let World {
        mut api,
        cluster,
        _dir,
    } = world().await;
    for (name, value) in [("changed", 2), ("kept", 1), ("new", 1)] {
        api.put("services", object("a", name, value));
    }
    api.kill().await;
    let begin = known(&[("changed", 1), ("deleted", 1), ("kept", 1)]);
    let services = Collection::new("/api/v1", "services");
    let mut watch = ObjectWatch::begin_with(&cluster, services, begin);
    assert_eq!(next(&mut watch).await, "failed");
    api.restart().await;
    let mut events = Vec::new();
    while events.last().is_none_or(|last| *last != "listed") {
        events.push(next(&mut watch).await);
        events.retain(|event| event != "failed" && event != "recovered");
    }
    // The versions of `kept` differ: a program may need them.
    assert_eq!(
        events,
        [
            "a/changed=2",
            "a/deleted deleted",
            "a/kept=1",
            "a/new=1",
            "listed"
        ]
    );
}

#[tokio::test]
async fn an_empty_list_does_not_replace_the_objects_of_the_beginning_at_once() {
    let World { api, cluster, .. } = &world().await;
    let cluster = cluster.clone().confirm_empty(secs(2));
    let services = || Collection::new("/api/v1", "services");
    let mut watch = ObjectWatch::begin_with(&cluster, services(), known(&[("kept", 1)]));
    assert_eq!(next(&mut watch).await, "failed");
    api.put("services", object("a", "kept", 1));
    let mut event = next(&mut watch).await;
    while event == "failed" {
        event = next(&mut watch).await;
    }
    assert_eq!(
        [event, next(&mut watch).await],
        ["recovered", "a/kept=1"].map(str::to_owned)
    );
    assert_eq!(next(&mut watch).await, "listed");
    // What lasts is true.
    api.delete("services", "a", "kept");
    assert_eq!(next(&mut watch).await, "a/kept deleted");
    let mut watch = ObjectWatch::begin_with(&cluster, services(), known(&[("kept", 1)]));
    let mut events = Vec::new();
    while events.last().is_none_or(|last| *last != "listed") {
        events.push(next(&mut watch).await);
        events.retain(|event| event != "failed" && event != "recovered");
    }
    assert_eq!(events, ["a/kept deleted", "listed"]);
}

/// Reads an object, and what is written of it.
fn read_twice<T: ApiObject + serde::Serialize>(object: Value) -> T {
    let read: T = serde_json::from_value(object).unwrap();
    let again: T = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
    assert_eq!(again, read);
    assert_eq!(again.metadata(), read.metadata());
    read
}

#[tokio::test]
async fn slices_and_nodes_are_written_as_they_are_read() {
    let conditions = [false, true].map(|ready| {
        [false, true].map(|serving| [false, true].map(|ending| (ready, serving, ending)))
    });
    let endpoints = conditions.as_flattened().as_flattened().iter().zip(1..);
    let endpoints = endpoints.map(|((ready, serving, ending), number)| {
        let endpoint = endpoint(&format!("10.0.0.{number}"), &format!("pod-{number}"));
        let mut endpoint = with_condition(endpoint, *ready, *serving, *ending);
        endpoint["hints"] = json!({"forZones": [{"name": "a"}, {"name": "b"}]});
        endpoint
    });
    let mut full = slice("full", &endpoints.collect::<Vec<_>>());
    full["metadata"]["resourceVersion"] = json!("7");
    full["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] =
        json!("endpointslice-controller.k8s.io");
    let kept: EndpointSlice = read_twice(full.clone());
    assert_eq!(kept.service(), Some("echo"));
    full["metadata"]["resourceVersion"] = json!("8");
    let heartbeat: EndpointSlice = serde_json::from_value(full.clone()).unwrap();
    assert_eq!(heartbeat, kept);
    assert_ne!(heartbeat.metadata(), kept.metadata());
    full["endpoints"][0]["nodeName"] = json!("other");
    let changed: EndpointSlice = serde_json::from_value(full).unwrap();
    assert_ne!(changed, kept);
    let mut bare = slice(
        "bare",
        &[json!({"addresses": ["::1"]}), json!({"addresses": ["x"]})],
    );
    bare["ports"] =
        json!([{"port": null}, {"name": "a", "port": -1}, {"name": "u", "protocol": "UDP"}]);
    read_twice::<EndpointSlice>(bare);
    let mut named = slice("named", &[json!({"addresses": ["echo.example"]})]);
    named["addressType"] = json!("FQDN");
    read_twice::<EndpointSlice>(named);
    read_twice::<EndpointSlice>(slice("vacant", &[]));

    let mut excluded = node("one", "10.0.0.1");
    read_twice::<ClusterNode>(excluded.clone());
    excluded["status"]["conditions"] = json!([]);
    excluded["metadata"]["labels"] =
        json!({"node.kubernetes.io/exclude-from-external-load-balancers": ""});
    excluded["status"]["addresses"] = json!([{"type": "ExternalIP", "address": "2001:db8::1"}]);
    read_twice::<ClusterNode>(excluded);
}

#[tokio::test]
async fn a_heartbeat_of_a_slice_is_no_event() {
    let World { api, cluster, .. } = &world().await;
    api.put("endpointslices", slice("one", &[endpoint("10.0.0.1", "a")]));
    let slices = Collection::new("/apis/discovery.k8s.io/v1", "endpointslices");
    let mut watch = ObjectWatch::<EndpointSlice>::follow(cluster, slices);
    for _ in 0..2 {
        within("the list", watch.next()).await;
    }
    // The server makes a new version of it.
    api.change("endpointslices", "default", "one", |_| {});
    api.put("endpointslices", slice("two", &[]));
    match within("an event", watch.next()).await {
        ObjectEvent::Applied { key, .. } => assert_eq!(key, "default/two"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn requests_return_every_status_and_read_credentials_again() {
    let World {
        mut api,
        cluster,
        _dir: dir,
    } = world().await;
    let requests = ApiRequests::new(&cluster);
    let limit = secs(30);
    let path = "/api/v1/namespaces/a/services/one";
    let get = ApiRequest::new(ApiMethod::Get, path);
    assert_eq!(requests.send(&get, limit).await.unwrap().code, 404);
    let create = ApiRequest::new(ApiMethod::Post, "/api/v1/namespaces/a/services");
    let create = create.body(object("a", "one", 1).to_string());
    assert_eq!(requests.send(&create, limit).await.unwrap().code, 201);
    let read = requests.send(&get, limit).await.unwrap();
    assert!(read.is_success());
    let known: Object = serde_json::from_slice(&read.body).unwrap();
    let patch = |version: Option<&str>| {
        let metadata = json!({"finalizers": ["a/b"], "resourceVersion": version});
        let patch = ApiRequest::new(
            ApiMethod::Patch("application/strategic-merge-patch+json"),
            path,
        );
        patch.body(json!({"metadata": metadata}).to_string())
    };
    assert_eq!(
        requests
            .send(&patch(Some("1000")), limit)
            .await
            .unwrap()
            .code,
        409
    );
    let version = known.metadata.resource_version.as_deref();
    assert!(
        requests
            .send(&patch(version), limit)
            .await
            .unwrap()
            .is_success()
    );
    assert_eq!(
        api.get("services", "a", "one")["metadata"]["finalizers"],
        json!(["a/b"])
    );
    assert_eq!(get.to_string(), "GET /api/v1/namespaces/a/services/one");

    api.token("new");
    assert_eq!(requests.send(&get, limit).await.unwrap().code, 401);
    api.kubeconfig(dir.path(), "", "token: new");
    assert!(requests.send(&get, limit).await.unwrap().is_success());

    api.fault(Fault::Throttled(429, 7));
    let throttled = requests.send(&get, limit).await.unwrap();
    assert_eq!(
        (throttled.code, throttled.retry_after),
        (429, Some(secs(7)))
    );
    api.fault(Fault::Frozen);
    let error = requests
        .send(&get, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, DiscoveryError::Timeout { .. }), "{error}");
    api.kill().await;
    let error = requests.send(&get, limit).await.unwrap_err();
    assert!(
        matches!(error, DiscoveryError::Unavailable { .. }),
        "{error}"
    );
    api.fault(Fault::None);
    api.restart().await;
    assert!(requests.send(&get, limit).await.unwrap().is_success());
}

#[test]
fn sets_are_computed_as_by_the_sources() {
    let read = |object: Value| serde_json::from_value::<EndpointSlice>(object).unwrap();
    let endpoints = [
        on_node(endpoint("10.0.0.1", "one"), "a"),
        on_node(endpoint("10.0.0.2", "two"), "a"),
        on_node(endpoint("10.0.0.3", "three"), "b"),
    ];
    let slices = [
        read(slice("echo-1", &endpoints[..2])),
        read(slice("echo-2", &endpoints[2..])),
    ];
    assert_eq!(slices[0].service(), Some("echo"));
    assert_eq!(slices[0].metadata().key(), "default/echo-1");
    let service = ServiceOutline::new("LoadBalancer")
        .has_selector(true)
        .is_local(true)
        .families(["IPv4"])
        .ports([("echo", 80, Some(30080)), ("other", 81, None)]);
    let set = pods(slices.iter(), &service, 80, Families::default()).unwrap();
    let names: Vec<_> = set
        .iter()
        .map(|backend| backend.name.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["one", "two", "three"]);
    assert!(
        set.iter()
            .all(|backend| backend.admin == AdminState::Ready && backend.addr.port() == 8080)
    );
    let error = pods(slices.iter(), &service, 82, Families::default()).unwrap_err();
    assert_eq!(
        error,
        "the Service has no TCP port 82, it has: 80 (\"echo\"), 81 (\"other\")"
    );
    let machines = [node("a", "10.1.0.1"), node("b", "10.1.0.2")];
    let machines = machines.map(|object| serde_json::from_value::<ClusterNode>(object).unwrap());
    let set = nodes(
        machines.iter(),
        slices.iter(),
        &service,
        80,
        Families::default(),
    )
    .unwrap();
    let weights: Vec<_> = set
        .iter()
        .map(|backend| (backend.addr.to_string(), backend.weight.get()))
        .collect();
    assert_eq!(
        weights,
        [
            ("10.1.0.1:30080".to_owned(), 2),
            ("10.1.0.2:30080".to_owned(), 1)
        ]
    );
    let error = nodes(
        machines.iter(),
        slices.iter(),
        &service,
        81,
        Families::default(),
    )
    .unwrap_err();
    assert!(error.contains("port 81 has no node port"), "{error}");
}
