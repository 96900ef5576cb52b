//! TCPRoutes: parents, namespaces, precedence.

use serde_json::{Value, json};

use super::outcome::*;
use super::world::*;

pub(super) fn section(gateway: &str, section: Option<&str>, port: Option<u16>) -> Value {
    let mut one = parent(gateway);
    one["sectionName"] = section.into();
    one["port"] = port.into();
    json!([one])
}

#[test]
fn parents_are_selected_by_section_name_port_and_kind() {
    for (rule, parents, accepted, attached) in [
        (
            "without a section, every listener of the kind",
            to("gw"),
            "True Accepted",
            [1, 1, 0],
        ),
        (
            "by sectionName",
            section("gw", Some("one"), None),
            "True Accepted",
            [1, 0, 0],
        ),
        (
            "by port",
            section("gw", None, Some(81)),
            "True Accepted",
            [0, 1, 0],
        ),
        (
            "by both",
            section("gw", Some("two"), Some(81)),
            "True Accepted",
            [0, 1, 0],
        ),
        (
            "both must match",
            section("gw", Some("one"), Some(81)),
            "False NoMatchingParent",
            [0, 0, 0],
        ),
        (
            "no such section",
            section("gw", Some("six"), None),
            "False NoMatchingParent",
            [0, 0, 0],
        ),
        (
            "no such port",
            section("gw", None, Some(9)),
            "False NoMatchingParent",
            [0, 0, 0],
        ),
        (
            "an empty section is none",
            section("gw", Some(""), None),
            "True Accepted",
            [1, 1, 0],
        ),
        (
            "a listener of another protocol",
            section("gw", Some("udp"), None),
            "False NotAllowedByListeners",
            [0, 0, 0],
        ),
    ] {
        let mut world = World::new();
        world.gateway(
            "gw",
            [tcp("one", 80), tcp("two", 81), listener("udp", "UDP", 53)],
        );
        world.service("web", &[8080]);
        world.tcp_route("r", 1, parents, backends(&[("web", 8080, 1)]));
        let outcome = world.outcome();
        assert_eq!(outcome.tcp("r", "Accepted"), accepted, "{rule}");
        assert_eq!(
            outcome.tcp("r", "ResolvedRefs"),
            "True ResolvedRefs",
            "{rule}"
        );
        let of = ["one", "two", "udp"].map(|name| outcome.attached("gw", name));
        assert_eq!(of, attached, "{rule}");
        let served = outcome
            .listens("192.0.2.1:80")
            .unwrap()
            .starts_with("default/web:8080");
        assert_eq!(served, attached[0] == 1, "{rule}");
    }
}

#[test]
fn a_parent_of_another_kind_or_group_is_not_ours() {
    for (kind, group) in [("Service", ""), ("Gateway", "example.com"), ("Gateway", "")] {
        let mut world = World::new();
        world.gateway("gw", [tcp("a", 80)]);
        let parents = json!([{"group": group, "kind": kind, "name": "gw"}]);
        world.tcp_route("r", 1, parents, backends(&[]));
        assert!(
            !world.outcome().is_written("tcproutes", "r"),
            "{group} {kind}"
        );
    }
}

#[test]
fn a_parent_that_does_not_exist_gets_no_entry() {
    let mut world = World::new();
    world.gateway("gw", [tcp("a", 80)]);
    world.tcp_route("r", 1, to("gone"), backends(&[]));
    world.tls_route("r", 1, to("gone"), &["a.test"], backends(&[]));
    let outcome = world.outcome();
    assert!(!outcome.is_written("tcproutes", "r"));
    assert!(!outcome.is_written("tlsroutes", "r"));
}

#[test]
fn a_route_without_parents_is_legal_and_has_no_status() {
    let mut world = World::new();
    world.gateway("gw", [tcp("a", 80)]);
    world.tcp_route("r", 1, json!([]), backends(&[]));
    assert!(!world.outcome().is_written("tcproutes", "r"));
}

#[test]
fn the_defaults_of_a_parent_reference_are_the_gateways_of_the_own_namespace() {
    let mut world = World::new();
    world.gateway("red/gw", [tcp("a", 80)]);
    world.tcp_route("red/r", 1, json!([{"name": "gw"}]), backends(&[]));
    world.tcp_route("r", 1, json!([{"name": "gw"}]), backends(&[]));
    let outcome = world.outcome();
    assert_eq!(outcome.tcp("red/r", "Accepted"), "True Accepted");
    assert!(!outcome.is_written("tcproutes", "r"));
}

#[test]
fn namespaces_are_admitted_as_the_listener_says() {
    let selector = json!({"from": "Selector", "selector": {"matchLabels": {"team": "red"}}});
    for (rule, namespaces, admitted) in [
        ("Same is the default", json!(null), &["default"][..]),
        ("Same", json!({"from": "Same"}), &["default"]),
        ("All", json!({"from": "All"}), &["default", "red", "blue"]),
        ("Selector", selector, &["red"]),
        ("None", json!({"from": "None"}), &[]),
    ] {
        let mut world = World::new();
        let allowed = match namespaces {
            Value::Null => json!({}),
            namespaces => json!({"allowedRoutes": {"namespaces": namespaces}}),
        };
        world.gateway("gw", [with(tcp("a", 80), allowed)]);
        for (second, namespace) in (1..).zip(["default", "red", "blue"]) {
            let name = format!("{namespace}/r");
            world.tcp_route(&name, second, to("gw"), backends(&[]));
        }
        let outcome = world.outcome();
        for namespace in ["default", "red", "blue"] {
            let expected = match admitted.contains(&namespace) {
                true => "True Accepted",
                false => "False NotAllowedByListeners",
            };
            let said = outcome.tcp(&format!("{namespace}/r"), "Accepted");
            assert_eq!(said, expected, "{rule}: {namespace}");
        }
        assert_eq!(outcome.attached("gw", "a"), admitted.len() as i64, "{rule}");
    }
}

#[test]
fn one_accepting_listener_is_enough() {
    let mut world = World::new();
    let all = json!({"allowedRoutes": {"namespaces": {"from": "All"}}});
    world.gateway("gw", [tcp("closed", 80), with(tcp("open", 81), all)]);
    world.tcp_route("red/r", 1, to("gw"), backends(&[]));
    let outcome = world.outcome();
    assert_eq!(outcome.tcp("red/r", "Accepted"), "True Accepted");
    assert_eq!(
        [
            outcome.attached("gw", "closed"),
            outcome.attached("gw", "open")
        ],
        [0, 1]
    );
}

#[test]
fn a_route_on_a_listener_in_conflict_is_attached_and_told() {
    let mut world = World::new();
    world.gateway(
        "gw",
        [tcp("a", 80), listener("b", "HTTP", 80), tcp("c", 81)],
    );
    world.tcp_route("r", 1, section("gw", Some("a"), None), backends(&[]));
    let outcome = world.outcome();
    assert_eq!(outcome.attached("gw", "a"), 1);
    assert_eq!(outcome.tcp("r", "Accepted"), "True Accepted");
    assert_eq!(
        outcome.tcp("r", "kube-lb.internal/Serving"),
        "False ListenersNotProgrammed"
    );
    assert_eq!(outcome.listens("192.0.2.1:80"), None);
}

#[test]
fn rules_behind_the_first_are_dropped_and_reported() {
    let mut world = World::new();
    world.gateway("gw", [tcp("a", 80)]);
    world.service("web", &[80]).service("more", &[80]);
    // Rules may have names, which mean nothing here.
    let rule = |service| json!({"name": service, "backendRefs": backends(&[(service, 80, 1)])});
    let spec = json!({"parentRefs": to("gw"), "rules": [rule("web"), rule("more")]});
    let route = json!({"metadata": {"namespace": "default", "name": "r"}, "spec": spec});
    insert(&mut world.objects.tcp_routes, route);
    let outcome = world.outcome();
    assert_eq!(outcome.tcp("r", "Accepted"), "True Accepted");
    assert_eq!(
        outcome.tcp("r", "PartiallyInvalid"),
        "True UnsupportedValue"
    );
    let text = message(
        &outcome.status("tcproutes", "r")["parents"][0],
        "PartiallyInvalid",
    );
    assert!(text.starts_with("Dropped Rule"), "{text}");
    assert_eq!(
        outcome.listens("192.0.2.1:80"),
        Some("default/web:80 of routes")
    );
}

#[test]
fn two_references_to_one_gateway_have_an_entry_each() {
    let mut world = World::new();
    world.gateway("gw", [tcp("one", 80), tcp("two", 81)]);
    world.service("web", &[8080]);
    let parents = json!([
        {"name": "gw", "sectionName": "one"},
        {"name": "gw", "sectionName": "gone"},
        {"name": "gw", "sectionName": "two", "port": 81},
        {"name": "gw", "sectionName": "two", "port": 80},
    ]);
    world.tcp_route("r", 1, parents.clone(), backends(&[("web", 8080, 1)]));
    let outcome = world.outcome();
    let entries = outcome.status("tcproutes", "r")["parents"].clone();
    let entries = entries.as_array().unwrap();
    let said: Vec<_> = entries
        .iter()
        .map(|entry| {
            let conditions = entry["conditions"].as_array().unwrap();
            let accepted = conditions.iter().find(|one| one["type"] == "Accepted");
            accepted.unwrap()["reason"].as_str().unwrap()
        })
        .collect();
    assert_eq!(
        said,
        [
            "Accepted",
            "NoMatchingParent",
            "Accepted",
            "NoMatchingParent"
        ]
    );
    // Each has the fields of its reference.
    for (entry, parent) in entries.iter().zip(parents.as_array().unwrap()) {
        assert_eq!(entry["parentRef"]["sectionName"], parent["sectionName"]);
        assert_eq!(entry["parentRef"]["port"], parent["port"]);
    }
    assert_eq!(
        [outcome.attached("gw", "one"), outcome.attached("gw", "two")],
        [1, 1]
    );
}

#[test]
fn a_selector_counts_only_where_the_listener_selects() {
    let selector = json!({"matchLabels": {"team": "red"}});
    for (from, admitted) in [
        ("Same", false),
        ("All", true),
        ("Selector", true),
        ("None", false),
    ] {
        let mut world = World::new();
        let namespaces = json!({"from": from, "selector": selector});
        let allowed = json!({"allowedRoutes": {"namespaces": namespaces}});
        world.gateway("gw", [with(tcp("a", 80), allowed)]);
        world.tcp_route("red/r", 1, to("gw"), backends(&[]));
        let expected = match admitted {
            true => "True Accepted",
            false => "False NotAllowedByListeners",
        };
        assert_eq!(world.outcome().tcp("red/r", "Accepted"), expected, "{from}");
    }
}

#[test]
fn host_names_of_tcp_listeners_are_ignored() {
    let named = |name: &str, port, host: &str| with(tcp(name, port), json!({"hostname": host}));
    let mut world = World::new();
    world.service("web", &[80]);
    world.gateway("gw", [named("a", 80, "a.test")]);
    world.tcp_route("r", 1, to("gw"), backends(&[("web", 80, 1)]));
    assert_eq!(
        world.outcome().listens("192.0.2.1:80"),
        Some("default/web:80 of routes")
    );
    // They do not tell listeners of one port apart.
    world.gateway("gw", [named("a", 80, "a.test"), named("b", 80, "b.test")]);
    let outcome = world.outcome();
    assert_eq!(outcome.listens("192.0.2.1:80"), None);
}
