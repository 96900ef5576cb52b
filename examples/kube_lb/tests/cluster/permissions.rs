//! The permissions are those that the program uses, no more and no less.

use std::collections::BTreeSet;

use kube_lb::controller::PERMISSIONS;
use kube_lb::rbac;
use serde_json::json;
use test_support::deadline::eventually;
use test_support::kubernetes::Request;
use test_support::kubernetes::objects::node;

use crate::support::{World, free_port, pods, service};

/// The group, the resource and the verb that the API server asks RBAC for.
pub(crate) fn asked(request: &Request) -> (String, String, String) {
    let mut parts = request.path.trim_start_matches('/').split('/');
    let group = match parts.next() {
        Some("apis") => parts.next().unwrap().to_owned(),
        _ => String::new(),
    };
    parts.next();
    let path: Vec<_> = parts.collect();
    let rest = match &path[..] {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    let resource = match *rest {
        [resource, _, part] => format!("{resource}/{part}"),
        [resource, ..] => resource.to_owned(),
        [] => panic!("{request:?}"),
    };
    let verb = match (request.method.as_str(), rest.len()) {
        ("GET", 1) if request.is_watch() => "watch",
        ("GET", 1) => "list",
        ("GET", _) => "get",
        ("PATCH", _) => "patch",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        other => panic!("{other:?}"),
    };
    (group, resource, verb.to_owned())
}

#[tokio::test]
async fn every_permission_is_used_and_every_request_is_permitted() {
    let world = World::start(50).await;
    let port = free_port().await;
    world.serve("web", &[port], &pods([127, 2, 50], &["a"]).await);
    let mut through_nodes = service("nodes", &[port]);
    through_nodes["metadata"]["annotations"] = json!({"kube-lb.internal/backends": "nodes"});
    world.api.put("services", through_nodes);
    world.api.put("nodes", node("one", "10.0.0.1"));
    world.install_gateway_api();
    world.put_every_gateway_kind();
    let running = world.run("lease: {namespace: kube-lb, duration: 3s}").await;
    eventually("the Service", || world.is_served("web")).await;
    let permitted: BTreeSet<_> = PERMISSIONS
        .iter()
        .flat_map(|permission| {
            let verbs = permission.verbs.iter();
            verbs.map(|verb| {
                (
                    permission.group.to_owned(),
                    permission.resource.to_owned(),
                    (*verb).to_owned(),
                )
            })
        })
        .collect();
    let used = || {
        world
            .api
            .requests()
            .iter()
            .map(asked)
            .collect::<BTreeSet<_>>()
    };
    eventually("the use of all permissions", || used() == permitted).await;
    world.api.request_deletion("services", "default", "web");
    eventually("the deletion", || {
        world.api.find("services", "default", "web").is_none()
    })
    .await;
    running.end().await;
    assert_eq!(used(), permitted);
}

#[test]
fn the_manifest_is_the_one_that_the_program_prints() {
    let shipped = include_str!("../../deploy/rbac.yaml");
    let printed = rbac::manifest("kube-lb");
    assert!(
        shipped.ends_with(&printed),
        "put this into deploy/rbac.yaml:\n{printed}"
    );
}
