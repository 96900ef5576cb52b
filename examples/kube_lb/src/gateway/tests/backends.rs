//! backendRefs: weights, permissions, and refusals in proportion.

use serde_json::{Value, json};

use super::world::*;

fn world_with(refs: Value) -> World {
    let mut world = World::new();
    world.gateway("gw", [tcp("a", 80)]);
    world
        .service("web", &[80])
        .service("api", &[81])
        .service("red/web", &[80]);
    world.tcp_route("r", 1, to("gw"), refs);
    world
}

#[test]
fn references_that_cannot_be_used_are_refused_with_their_weight() {
    let mixed = |one: Value| json!([{"name": "web", "port": 80, "weight": 20}, one]);
    for (rule, refs, resolved, routing) in [
        (
            "weights",
            backends(&[("web", 80, 70), ("api", 81, 30), ("red/web", 80, 0)]),
            "False RefNotPermitted",
            "70 x default/web:80 of routes, 30 x default/api:81 of routes, \
             0 x refused (no ReferenceGrant permits TCPRoute to refer to Service red/web)",
        ),
        (
            "a weight is 1 by default",
            json!([{"name": "web", "port": 80}, {"name": "api", "port": 81, "weight": 3}]),
            "True ResolvedRefs",
            "1 x default/web:80 of routes, 3 x default/api:81 of routes",
        ),
        (
            "the only reference gets everything, whatever its weight",
            backends(&[("web", 80, 7)]),
            "True ResolvedRefs",
            "default/web:80 of routes",
        ),
        (
            "the largest weight beside the smallest",
            backends(&[("web", 80, 1_000_000), ("api", 81, 1)]),
            "True ResolvedRefs",
            "1000000 x default/web:80 of routes, 1 x default/api:81 of routes",
        ),
        (
            "a Service that does not exist",
            mixed(json!({"name": "gone", "port": 80, "weight": 80})),
            "False BackendNotFound",
            "20 x default/web:80 of routes, 80 x refused (Service default/gone does not exist)",
        ),
        (
            "a port that the Service does not have",
            mixed(json!({"name": "web", "port": 9, "weight": 80})),
            "False BackendNotFound",
            "20 x default/web:80 of routes, 80 x refused (Service default/web has no port 9)",
        ),
        (
            "another kind",
            mixed(json!({"group": "example.com", "kind": "Pool", "name": "p", "weight": 80})),
            "False InvalidKind",
            "20 x default/web:80 of routes, 80 x refused (Pool.example.com default/p is no Service)",
        ),
        (
            "another kind of the core",
            mixed(json!({"kind": "Pod", "name": "p", "port": 80, "weight": 80})),
            "False InvalidKind",
            "20 x default/web:80 of routes, 80 x refused (Pod default/p is no Service)",
        ),
        (
            "another namespace without a grant",
            mixed(json!({"namespace": "red", "name": "web", "port": 80, "weight": 80})),
            "False RefNotPermitted",
            "20 x default/web:80 of routes, \
             80 x refused (no ReferenceGrant permits TCPRoute to refer to Service red/web)",
        ),
        (
            "permission comes before existence, which stays hidden",
            mixed(json!({"namespace": "red", "name": "gone", "port": 80, "weight": 80})),
            "False RefNotPermitted",
            "20 x default/web:80 of routes, \
             80 x refused (no ReferenceGrant permits TCPRoute to refer to Service red/gone)",
        ),
        (
            "all weights 0",
            backends(&[("web", 80, 0), ("api", 81, 0)]),
            "True ResolvedRefs",
            "refused: no target has a weight",
        ),
        (
            "the only reference cannot be used",
            backends(&[("gone", 80, 1)]),
            "False BackendNotFound",
            "refused (Service default/gone does not exist)",
        ),
        (
            "no reference",
            json!([]),
            "True ResolvedRefs",
            "refused: no target has a weight",
        ),
        (
            "one Service twice",
            backends(&[("web", 80, 1), ("web", 80, 2)]),
            "True ResolvedRefs",
            "1 x default/web:80 of routes, 2 x default/web:80 of routes",
        ),
    ] {
        let outcome = world_with(refs).outcome();
        assert_eq!(outcome.tcp("r", "ResolvedRefs"), resolved, "{rule}");
        assert_eq!(outcome.tcp("r", "Accepted"), "True Accepted", "{rule}");
        assert_eq!(outcome.listens("192.0.2.1:80"), Some(routing), "{rule}");
    }
}

#[test]
fn a_service_that_routes_cannot_use() {
    let mut world = world_with(backends(&[("external", 80, 1), ("dns", 53, 1)]));
    world.service_with("external", "ExternalName", &[(80, "TCP")]);
    world.service_with("dns", "ClusterIP", &[(53, "UDP")]);
    let outcome = world.outcome();
    assert_eq!(outcome.tcp("r", "ResolvedRefs"), "False InvalidKind");
    let routing = outcome.listens("192.0.2.1:80").unwrap();
    assert!(
        routing.contains("external is an ExternalName")
            && routing.contains("53 of Service default/dns is no TCP")
    );
}

#[test]
fn a_port_number_with_both_protocols_is_used() {
    let mut world = world_with(backends(&[("dns", 53, 1)]));
    world.service_with("dns", "ClusterIP", &[(53, "UDP"), (53, "TCP")]);
    assert_eq!(
        world.outcome().listens("192.0.2.1:80"),
        Some("default/dns:53 of routes")
    );
}

#[test]
fn grants_permit_what_they_name() {
    let from = |kind: &str, namespace: &str| json!({"group": "gateway.networking.k8s.io", "kind": kind, "namespace": namespace});
    let to_all = json!({"group": "", "kind": "Service"});
    let to_one = |name: &str| json!({"group": "", "kind": "Service", "name": name});
    for (rule, namespace, from, to, is_permitted) in [
        (
            "of the kind and namespace",
            "red",
            from("TCPRoute", "default"),
            to_all.clone(),
            true,
        ),
        (
            "to the Service by name",
            "red",
            from("TCPRoute", "default"),
            to_one("web"),
            true,
        ),
        (
            "to another Service",
            "red",
            from("TCPRoute", "default"),
            to_one("api"),
            false,
        ),
        (
            "of another kind of route",
            "red",
            from("TLSRoute", "default"),
            to_all.clone(),
            false,
        ),
        (
            "of another namespace",
            "red",
            from("TCPRoute", "blue"),
            to_all.clone(),
            false,
        ),
        (
            "in another namespace",
            "blue",
            from("TCPRoute", "default"),
            to_all,
            false,
        ),
        (
            "to another kind",
            "red",
            from("TCPRoute", "default"),
            json!({"group": "", "kind": "Secret"}),
            false,
        ),
    ] {
        let mut world = world_with(backends(&[("red/web", 80, 1)]));
        world.grant(namespace, from, to);
        let outcome = world.outcome();
        let expected = if is_permitted {
            "True ResolvedRefs"
        } else {
            "False RefNotPermitted"
        };
        assert_eq!(outcome.tcp("r", "ResolvedRefs"), expected, "{rule}");
        let routing = outcome.listens("192.0.2.1:80").unwrap();
        assert_eq!(routing == "red/web:80 of routes", is_permitted, "{rule}");
    }
}

#[test]
fn a_grant_that_is_removed_no_longer_permits() {
    let mut world = world_with(backends(&[("red/web", 80, 1)]));
    let from =
        json!({"group": "gateway.networking.k8s.io", "kind": "TCPRoute", "namespace": "default"});
    world.grant("red", from, json!({"group": "", "kind": "Service"}));
    assert_eq!(
        world.outcome().tcp("r", "ResolvedRefs"),
        "True ResolvedRefs"
    );
    world.objects.grants.clear();
    assert_eq!(
        world.outcome().tcp("r", "ResolvedRefs"),
        "False RefNotPermitted"
    );
}

#[test]
fn entries_of_a_grant_and_several_grants_are_combined_by_or() {
    let from = |kind: &str, namespace: &str| json!({"group": "gateway.networking.k8s.io", "kind": kind, "namespace": namespace});
    let to = |name: &str| json!({"group": "", "kind": "Service", "name": name});
    let grant = |name: &str, from: Value, to: Value| {
        let metadata = json!({"namespace": "red", "name": name});
        json!({"metadata": metadata, "spec": {"from": from, "to": to}})
    };
    let own = from("TCPRoute", "default");
    let other = from("TLSRoute", "blue");
    for (rule, grants, is_permitted) in [
        (
            "a later entry of both lists",
            vec![grant(
                "a",
                json!([other, own]),
                json!([to("api"), to("web")]),
            )],
            true,
        ),
        (
            "the second grant",
            vec![
                grant("a", json!([other]), json!([to("web")])),
                grant("b", json!([own]), json!([to("web")])),
            ],
            true,
        ),
        (
            "the source of one grant and the target of another are not combined",
            vec![
                grant("a", json!([own]), json!([to("api")])),
                grant("b", json!([other]), json!([to("web")])),
            ],
            false,
        ),
        (
            "a grant without entries",
            vec![grant("a", json!([]), json!([]))],
            false,
        ),
    ] {
        let mut world = world_with(backends(&[("red/web", 80, 1)]));
        for object in grants {
            insert(&mut world.objects.grants, object);
        }
        let expected = match is_permitted {
            true => "True ResolvedRefs",
            false => "False RefNotPermitted",
        };
        assert_eq!(world.outcome().tcp("r", "ResolvedRefs"), expected, "{rule}");
    }
}

#[test]
fn a_service_of_the_own_namespace_needs_no_grant_and_one_of_another_does_in_tls_routes_too() {
    let mut world = World::new();
    world.gateway("gw", [tls("s", 443, None)]);
    world.service("web", &[443]).service("red/web", &[443]);
    let refs = backends(&[("web", 443, 1), ("red/web", 443, 1)]);
    world.tls_route("r", 1, to("gw"), &["a.test"], refs);
    let outcome = world.outcome();
    assert_eq!(outcome.tls("r", "ResolvedRefs"), "False RefNotPermitted");
    let from =
        json!({"group": "gateway.networking.k8s.io", "kind": "TLSRoute", "namespace": "default"});
    world.grant("red", from, json!({"group": "", "kind": "Service"}));
    let outcome = world.outcome();
    assert_eq!(outcome.tls("r", "ResolvedRefs"), "True ResolvedRefs");
    let routing = outcome.listens("192.0.2.1:443").unwrap();
    assert!(
        routing.starts_with("a.test -> 1 x default/web:443 of routes, 1 x red/web:443 of routes"),
        "{routing}"
    );
}

#[test]
fn a_reference_that_becomes_invalid_loses_its_share_and_no_other_gets_it() {
    let mut world = world_with(backends(&[("web", 80, 1), ("api", 81, 1)]));
    let outcome = world.outcome();
    assert_eq!(
        outcome.listens("192.0.2.1:80"),
        Some("1 x default/web:80 of routes, 1 x default/api:81 of routes")
    );
    // The port of the Service changes its number.
    world.service("api", &[82]);
    let outcome = world.outcome();
    assert_eq!(outcome.tcp("r", "ResolvedRefs"), "False BackendNotFound");
    assert_eq!(
        outcome.listens("192.0.2.1:80"),
        Some("1 x default/web:80 of routes, 1 x refused (Service default/api has no port 81)")
    );
}
