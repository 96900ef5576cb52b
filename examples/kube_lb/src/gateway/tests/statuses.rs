//! Statuses as they are written: generations, entries of other controllers, no write without a change.

use std::sync::Arc;

use serde_json::{Value, json};

use super::outcome::*;
use super::world::*;

/// A cluster with all kinds.
fn world() -> World {
    let mut world = World::new();
    world.gateway_with(
        "gw",
        json!({"listeners": [tcp("a", 80), tls("b", 443, None)],
        "allowedListeners": {"namespaces": {"from": "Same"}}}),
    );
    world.listener_set("set", 1, "gw", [tcp("c", 81)]);
    world.service("web", &[80]);
    world.tcp_route("t", 1, to("gw"), backends(&[("web", 80, 1)]));
    world.tls_route("s", 1, to("gw"), &["a.test"], backends(&[("gone", 80, 1)]));
    world
}

/// Writes the patches into the objects, as the API server does.
fn write(world: &mut World, outcome: &Outcome) {
    for patch in &outcome.patches {
        let status = patch.body["status"].clone();
        let objects = &mut world.objects;
        match patch.plural {
            "gatewayclasses" => {
                for class in objects.classes.values_mut() {
                    Arc::make_mut(class).status = serde_json::from_value(status.clone()).unwrap();
                }
            }
            "gateways" => {
                for gateway in objects.gateways.values_mut() {
                    Arc::make_mut(gateway).status = serde_json::from_value(status.clone()).unwrap();
                }
            }
            "listenersets" => {
                for set in objects.listener_sets.values_mut() {
                    Arc::make_mut(set).status = serde_json::from_value(status.clone()).unwrap();
                }
            }
            "tcproutes" => {
                for route in objects.tcp_routes.values_mut() {
                    Arc::make_mut(route).0.status = serde_json::from_value(status.clone()).unwrap();
                }
            }
            "tlsroutes" => {
                for route in objects.tls_routes.values_mut() {
                    Arc::make_mut(route).0.status = serde_json::from_value(status.clone()).unwrap();
                }
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn every_condition_has_the_generation_of_its_object_and_nothing_is_written_twice() {
    let mut world = world();
    let outcome = world.outcome();
    let mut plurals: Vec<_> = outcome.patches.iter().map(|patch| patch.plural).collect();
    plurals.sort_unstable();
    assert_eq!(
        plurals,
        [
            "gatewayclasses",
            "gateways",
            "listenersets",
            "tcproutes",
            "tlsroutes"
        ]
    );
    for patch in &outcome.patches {
        let text = patch.body.to_string();
        let conditions = text.matches("\"lastTransitionTime\"").count();
        assert!(conditions > 0);
        assert_eq!(
            text.matches("\"observedGeneration\":1").count(),
            conditions,
            "{text}"
        );
        let version = match patch.plural {
            "gatewayclasses" => "1",
            _ => "7",
        };
        assert_eq!(patch.body["metadata"]["resourceVersion"], version);
    }
    write(&mut world, &outcome);
    assert_eq!(world.outcome_at("2026-12-01T00:00:00Z").patches, []);
}

#[test]
fn paths_are_those_of_the_api() {
    let paths: Vec<String> = world()
        .outcome()
        .patches
        .iter()
        .map(|patch| patch.path())
        .collect();
    let api = "/apis/gateway.networking.k8s.io/v1";
    assert!(paths.contains(&format!("{api}/gatewayclasses/lb/status")));
    assert!(paths.contains(&format!("{api}/namespaces/default/tcproutes/t/status")));
}

fn entry(controller: &str, gateway: &str) -> Value {
    let condition = json!({"type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1});
    json!({"controllerName": controller, "parentRef": parent(gateway), "conditions": [condition]})
}

fn with_parents(world: &mut World, parents: Value) {
    let route = Arc::make_mut(world.objects.tcp_routes.get_mut("default/t").unwrap());
    route.0.status = serde_json::from_value(json!({"parents": parents})).unwrap();
}

#[test]
fn entries_of_other_controllers_stay_as_they_are_and_where_they_are() {
    let foreign = [entry("example.com/a", "x"), entry("example.com/b", "gw")];
    let mut world = world();
    with_parents(
        &mut world,
        json!([foreign[0], entry(CONTROLLER, "gw"), foreign[1]]),
    );
    let outcome = world.outcome();
    let parents = outcome.status("tcproutes", "t")["parents"]
        .as_array()
        .unwrap();
    let controllers: Vec<_> = parents
        .iter()
        .map(|one| one["controllerName"].as_str().unwrap())
        .collect();
    assert_eq!(controllers, ["example.com/a", CONTROLLER, "example.com/b"]);
    assert_eq!([&parents[0], &parents[2]], [&foreign[0], &foreign[1]]);
    // The status of the condition is the same, so the time of its transition is.
    assert_eq!(
        parents[1]["conditions"][0]["lastTransitionTime"],
        "2026-01-01T00:00:00Z"
    );
}

#[test]
fn an_own_entry_without_its_parent_is_removed() {
    let mut world = world();
    let foreign = entry("example.com/a", "x");
    with_parents(&mut world, json!([entry(CONTROLLER, "gone"), foreign]));
    let outcome = world.outcome();
    let parents = outcome.status("tcproutes", "t")["parents"]
        .as_array()
        .unwrap();
    assert_eq!(parents.len(), 2);
    assert_eq!(parents[0], foreign);
    assert_eq!(parents[1]["parentRef"]["name"], "gw");

    let mut world = self::world();
    with_parents(&mut world, json!([entry(CONTROLLER, "gw"), foreign]));
    world.objects.gateways.clear();
    let outcome = world.outcome();
    assert_eq!(
        outcome.status("tcproutes", "t")["parents"],
        json!([foreign])
    );
}

#[test]
fn a_route_has_at_most_32_entries_and_those_of_others_stay() {
    let mut world = world();
    let foreign = |i: usize| entry("example.com/a", &format!("x{i}"));
    with_parents(&mut world, (0..31).map(foreign).collect());
    let mut route = Arc::unwrap_or_clone(world.objects.tcp_routes["default/t"].clone());
    route.0.spec.parent_refs = ["a", "c"]
        .map(|section| {
            let mut reference = parent("gw");
            reference["sectionName"] = section.into();
            serde_json::from_value(reference).unwrap()
        })
        .into();
    world
        .objects
        .tcp_routes
        .insert("default/t".to_owned(), Arc::new(route));
    let outcome = world.outcome();
    let parents = outcome.status("tcproutes", "t")["parents"]
        .as_array()
        .unwrap();
    assert_eq!(parents.len(), 32);
    assert_eq!(parents[..31], (0..31).map(foreign).collect::<Vec<_>>());
    assert_eq!(parents[31]["parentRef"]["sectionName"], "a");
}

#[test]
fn conditions_of_others_on_gateways_and_listeners_stay() {
    let foreign = json!({"type": "example.com/Seen", "status": "True", "reason": "Seeded", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1});
    let mut world = world();
    let gateway = Arc::make_mut(world.objects.gateways.get_mut("default/gw").unwrap());
    let listener =
        json!({"name": "a", "attachedRoutes": 0, "conditions": [foreign], "supportedKinds": []});
    let status = json!({"conditions": [foreign], "listeners": [listener]});
    gateway.status = serde_json::from_value(status).unwrap();
    let outcome = world.outcome();
    let status = outcome.status("gateways", "gw");
    assert_eq!(status["conditions"][0], foreign);
    assert_eq!(status["listeners"][0]["conditions"][0], foreign);
    assert_eq!(said(status, "Accepted"), "True Accepted");
}

#[test]
fn objects_that_are_being_deleted_are_not_served_and_not_written() {
    let mut world = world();
    let deleted = Some("2026-11-30T11:59:00Z".to_owned());
    Arc::make_mut(world.objects.gateways.get_mut("default/gw").unwrap())
        .metadata
        .deletion_timestamp = deleted.clone();
    let outcome = world.outcome();
    assert_eq!(outcome.plan, "");
    assert!(!outcome.is_written("gateways", "gw") && !outcome.is_written("tcproutes", "t"));

    let mut world = self::world();
    Arc::make_mut(world.objects.tcp_routes.get_mut("default/t").unwrap())
        .0
        .metadata
        .deletion_timestamp = deleted;
    let outcome = world.outcome();
    assert_eq!(outcome.attached("gw", "a"), 0);
    let refused = Some("refused (no route is attached to the listener)");
    assert_eq!(outcome.listens("192.0.2.1:80"), refused);
}
