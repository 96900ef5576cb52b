//! The rights in `examples/kubernetes` are what the sources use, and no more.

use std::collections::BTreeSet;

use lb_discovery::Source;
use lb_discovery::kubernetes::{EndpointSlices, NodePort, Pods};
use serde_json::{Value, json};

use crate::sources::{Api, run};
use test_support::deadline::eventually;
use test_support::kubernetes::Request;
use test_support::kubernetes::objects::{daemon_set, endpoint, node, pod, service, slice};

/// API group, resource, the name if there is only one, verb.
type Right = (String, String, Option<String>, &'static str);

fn used(request: &Request) -> Right {
    let mut path = request.path.strip_prefix("/apis/").map_or_else(
        || ("", request.path.strip_prefix("/api/v1/").unwrap()),
        |path| path.split_once("/v1/").unwrap(),
    );
    if let Some(rest) = path.1.strip_prefix("namespaces/default/") {
        path.1 = rest;
    }
    let mut query = form_urlencoded::parse(request.query.as_bytes());
    let field = query.find(|(name, _)| name == "fieldSelector");
    let name = field.map(|(_, value)| value.strip_prefix("metadata.name=").unwrap().to_owned());
    let verb = if request.is_watch() { "watch" } else { "list" };
    (path.0.to_owned(), path.1.to_owned(), name, verb)
}

fn granted(manifest: &str) -> BTreeSet<Right> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap();
    let list = |value: &Value| -> Vec<String> {
        let values = value.as_array().into_iter().flatten();
        values.map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in documents
        .iter()
        .filter_map(|d| d["rules"].as_array())
        .flatten()
    {
        let mut names: Vec<_> = list(&rule["resourceNames"]).into_iter().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        for group in list(&rule["apiGroups"]) {
            for resource in list(&rule["resources"]) {
                for name in &names {
                    for verb in list(&rule["verbs"]) {
                        let verb = ["list", "watch"].into_iter().find(|v| *v == verb);
                        let verb = verb.expect("sources only list and watch");
                        rights.insert((group.clone(), resource.clone(), name.clone(), verb));
                    }
                }
            }
        }
    }
    rights
}

async fn uses(api: &Api, source: impl Source, manifest: &str) {
    let granted = granted(manifest);
    let _running = run(source);
    let used = || {
        api.server
            .requests()
            .iter()
            .map(used)
            .collect::<BTreeSet<_>>()
    };
    eventually("the use of every right", || used().len() >= granted.len()).await;
    assert_eq!(used(), granted);
}

fn renamed(mut object: Value) -> Value {
    object["metadata"]["name"] = json!("tcp-echo");
    object
}

async fn api() -> Api {
    let api = Api::start().await;
    let mut slice = slice("tcp-echo-a", &[endpoint("10.0.0.1", "a")]);
    slice["metadata"]["labels"]["kubernetes.io/service-name"] = json!("tcp-echo");
    api.server.put("endpointslices", slice);
    api.server.put("services", renamed(service("Local")));
    api.server.put("nodes", node("node-1", "10.1.0.1"));
    api.server.put("pods", pod("echo-a", "node-1", "10.1.0.1"));
    api.server.put("daemonsets", daemon_set("tcp-echo"));
    api
}

#[tokio::test]
async fn endpoint_slices() {
    let api = api().await;
    let source = EndpointSlices::try_new(api.cluster(), "default", "tcp-echo").unwrap();
    let manifest = include_str!("../../../examples/kubernetes/rbac-endpoint-slices.yaml");
    uses(&api, source, manifest).await;
}

#[tokio::test]
async fn node_port() {
    let api = api().await;
    let source = NodePort::try_new(api.cluster(), "default", "tcp-echo").unwrap();
    let manifest = include_str!("../../../examples/kubernetes/rbac-node-port.yaml");
    uses(&api, source, manifest).await;
}

#[tokio::test]
async fn pods() {
    let api = api().await;
    let source = Pods::try_daemon_set(api.cluster(), "default", "tcp-echo", 446).unwrap();
    let manifest = include_str!("../../../examples/kubernetes/rbac-pods.yaml");
    uses(&api, source, manifest).await;
}
