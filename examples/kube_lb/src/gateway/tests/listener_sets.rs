//! ListenerSets: which are admitted, precedence, and routes.

use serde_json::{Value, json};

use super::outcome::*;
use super::world::*;

fn world(from: &str, listeners: Value) -> World {
    let mut world = World::new();
    let selector = json!({"matchLabels": {"team": "red"}});
    world.gateway_with(
        "gw",
        json!({"listeners": listeners,
            "allowedListeners": {"namespaces": {"from": from, "selector": selector}}}),
    );
    world
}

#[test]
fn they_are_admitted_as_the_gateway_says_and_by_default_none() {
    for (from, admitted) in [
        (None, &[][..]),
        (Some("None"), &[]),
        (Some("Same"), &["default"]),
        (Some("All"), &["default", "red", "blue"]),
        (Some("Selector"), &["red"]),
    ] {
        let mut world = match from {
            Some(from) => world(from, json!([tcp("a", 80)])),
            None => World::new().gateway("gw", [tcp("a", 80)]).clone(),
        };
        let namespaces = ["default", "red", "blue"];
        for (port, namespace) in (81..).zip(namespaces) {
            world.listener_set(&format!("{namespace}/set"), 1, "gw", [tcp("more", port)]);
        }
        let outcome = world.outcome();
        for (port, namespace) in (81..).zip(namespaces) {
            let is_admitted = admitted.contains(&namespace);
            let (accepted, programmed) = match is_admitted {
                true => ("True Accepted", "True Programmed"),
                false => ("False NotAllowed", "False NotAllowed"),
            };
            let set = format!("{namespace}/set");
            assert_eq!(
                outcome.set(&set, "Accepted"),
                accepted,
                "{from:?} {namespace}"
            );
            assert_eq!(
                outcome.set(&set, "Programmed"),
                programmed,
                "{from:?} {namespace}"
            );
            let listens = outcome.listens(&format!("192.0.2.1:{port}"));
            assert_eq!(listens.is_some(), is_admitted, "{from:?} {namespace}");
        }
        let attached = &outcome.status("gateways", "gw")["attachedListenerSets"];
        assert_eq!(attached.as_u64(), Some(admitted.len() as u64), "{from:?}");
    }
}

#[test]
fn a_set_of_another_gateway_has_no_status_here() {
    let mut world = World::new();
    world.listener_set("set", 1, "unknown", [tcp("a", 80)]);
    assert!(!world.outcome().is_written("listenersets", "set"));
}

#[test]
fn the_gateway_precedes_then_the_oldest_set_then_the_name() {
    let mut world = world("All", json!([tcp("own", 80)]));
    // The older set has the later name.
    world.listener_set("young", 2, "gw", [tcp("x", 81), tcp("y", 82)]);
    world.listener_set("zold", 1, "gw", [tcp("x", 80), tcp("y", 81)]);
    world.listener_set("also-young", 2, "gw", [tcp("y", 82)]);
    let outcome = world.outcome();
    for (object, listener, expected) in [
        ("gw", "own", "True Accepted"),
        ("listenersets zold", "x", "False ListenerConflict"),
        ("listenersets zold", "y", "True Accepted"),
        ("listenersets young", "x", "False ListenerConflict"),
        ("listenersets young", "y", "False ListenerConflict"),
        ("listenersets also-young", "y", "True Accepted"),
    ] {
        assert_eq!(
            outcome.listener(object, listener, "Accepted"),
            expected,
            "{object} {listener}"
        );
        let conflicted = if expected.starts_with("True") {
            "False NoConflicts"
        } else {
            "True ListenerConflict"
        };
        assert_eq!(
            outcome.listener(object, listener, "Conflicted"),
            conflicted,
            "{object} {listener}"
        );
    }
    assert_eq!(outcome.set("zold", "Accepted"), "True ListenersNotValid");
    assert_eq!(outcome.set("zold", "Programmed"), "True Programmed");
    assert_eq!(outcome.set("young", "Accepted"), "False ListenersNotValid");
    assert_eq!(
        outcome.set("young", "Programmed"),
        "False ListenersNotValid"
    );
    assert_eq!(outcome.gateway("gw", "Accepted"), "True Accepted");
}

#[test]
fn the_name_of_the_other_listener_is_told_within_one_object_only() {
    let mut world = world("All", json!([tcp("secret", 80)]));
    world.listener_set(
        "red/set",
        1,
        "gw",
        [
            tcp("a", 80),
            tls("b", 443, Some("b.test")),
            tls("c", 443, Some("b.test")),
        ],
    );
    let outcome = world.outcome();
    let text = |listener| {
        let listeners = outcome.status("listenersets", "red/set")["listeners"]
            .as_array()
            .unwrap();
        let status = listeners
            .iter()
            .find(|status| status["name"] == listener)
            .unwrap();
        message(status, "Conflicted")
    };
    assert!(
        !text("a").contains("secret") && text("a").contains("precedence"),
        "{}",
        text("a")
    );
    assert!(text("b").contains("\"c\"") && text("c").contains("\"b\""));
}

#[test]
fn a_listener_that_lost_to_the_gateway_does_not_conflict_with_its_siblings() {
    let mut world = world("All", json!([tls("own", 443, Some("own.test"))]));
    world.listener_set(
        "set",
        1,
        "gw",
        [tcp("lost", 443), tls("kept", 443, Some("kept.test"))],
    );
    let outcome = world.outcome();
    assert_eq!(
        outcome.listener("listenersets set", "lost", "Conflicted"),
        "True ProtocolConflict"
    );
    assert_eq!(
        outcome.listener("listenersets set", "kept", "Accepted"),
        "True Accepted"
    );
    assert_eq!(outcome.listener("gw", "own", "Accepted"), "True Accepted");
}

#[test]
fn routes_of_a_set_are_apart_from_those_of_its_gateway() {
    let mut world = world("All", json!([tcp("a", 80)]));
    world.listener_set("red/set", 1, "gw", [tcp("a", 81)]);
    world.service("web", &[1]).service("red/web", &[1]);
    let set = json!([{"kind": "ListenerSet", "name": "set", "namespace": "red"}]);
    world.tcp_route("red/r", 1, set.clone(), backends(&[("red/web", 1, 1)]));
    // The namespace of the set counts, not that of the Gateway.
    world.tcp_route("other", 1, set, backends(&[("web", 1, 1)]));
    world.tcp_route("r", 1, to("gw"), backends(&[("web", 1, 1)]));
    let outcome = world.outcome();
    assert_eq!(outcome.tcp("red/r", "Accepted"), "True Accepted");
    assert_eq!(
        outcome.tcp("other", "Accepted"),
        "False NotAllowedByListeners"
    );
    assert_eq!(outcome.attached("gw", "a"), 1);
    assert_eq!(outcome.attached("listenersets red/set", "a"), 1);
    assert_eq!(
        outcome.listens("192.0.2.1:80"),
        Some("default/web:1 of routes")
    );
    assert_eq!(outcome.listens("192.0.2.1:81"), Some("red/web:1 of routes"));
}

#[test]
fn a_set_follows_its_gateway() {
    let mut world = World::new();
    world.gateway_with(
        "gw",
        json!({"listeners": [listener("a", "HTTP", 80)],
        "allowedListeners": {"namespaces": {"from": "Same"}}}),
    );
    world.listener_set("set", 1, "gw", [tcp("b", 81)]);
    let outcome = world.outcome();
    assert_eq!(outcome.gateway("gw", "Accepted"), "False ListenersNotValid");
    assert_eq!(outcome.set("set", "Accepted"), "False ParentNotAccepted");
    assert_eq!(outcome.set("set", "Programmed"), "False ParentNotAccepted");
    assert_eq!(outcome.plan, "");
}

#[test]
fn a_route_to_a_set_that_is_not_admitted_is_not_accepted() {
    let mut world = world("None", json!([tcp("a", 80)]));
    world.listener_set("set", 1, "gw", [tcp("b", 81)]);
    let set = json!([{"kind": "ListenerSet", "name": "set"}]);
    world.tcp_route("r", 1, set, backends(&[]));
    assert_eq!(
        world.outcome().tcp("r", "Accepted"),
        "False NoMatchingParent"
    );
}
