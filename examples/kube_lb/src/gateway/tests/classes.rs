//! GatewayClass.

use serde_json::json;

use super::outcome::*;
use super::world::*;

#[test]
fn a_class_of_this_controller_is_accepted_with_its_features_sorted() {
    let mut world = World::new();
    world.class("other", "example.com/other");
    let outcome = world.outcome();
    let status = outcome.status("gatewayclasses", "lb");
    assert_eq!(said(status, "Accepted"), "True Accepted");
    assert_eq!(status["conditions"][0]["observedGeneration"], 1);
    let features = status["supportedFeatures"].as_array().unwrap();
    let features: Vec<&str> = features
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert!(
        features.is_sorted() && features.contains(&"TCPRoute") && features.contains(&"TLSRoute")
    );
    assert!(!outcome.is_written("gatewayclasses", "other"));
}

#[test]
fn the_supported_version_is_that_of_all_definitions() {
    let definition = |name: &str| format!("{name}.gateway.networking.k8s.io");
    for (releases, expected) in [
        (&[][..], "False UnsupportedVersion"),
        (
            &[("gateways", Some("v1.6.1")), ("tcproutes", Some("v1.6.0"))],
            "True SupportedVersion",
        ),
        (
            &[("gateways", Some("v1.6.1")), ("tcproutes", Some("v1.5.0"))],
            "False UnsupportedVersion",
        ),
        (&[("gateways", Some("v1.60.0"))], "False UnsupportedVersion"),
        (&[("gateways", Some("v0.0.0"))], "False UnsupportedVersion"),
        (&[("gateways", None)], "False UnsupportedVersion"),
    ] {
        let mut world = World::new();
        let releases = releases
            .iter()
            .map(|(name, release)| (definition(name), release.map(str::to_owned)));
        world.objects.releases = releases.collect();
        let outcome = world.outcome();
        let status = outcome.status("gatewayclasses", "lb");
        assert_eq!(
            said(status, "SupportedVersion"),
            expected,
            "{:?}",
            world.objects.releases
        );
        assert_eq!(said(status, "Accepted"), "True Accepted");
    }
}

#[test]
fn parameters_are_refused_of_classes_and_gateways_and_nothing_is_served() {
    let parameters = json!({"group": "", "kind": "ConfigMap", "name": "gone"});
    let mut world = World::new();
    world.gateway_with(
        "gw",
        json!({"listeners": [tcp("a", 80)],
        "infrastructure": {"parametersRef": parameters}}),
    );
    let outcome = world.outcome();
    assert_eq!(outcome.gateway("gw", "Accepted"), "False InvalidParameters");
    assert_eq!(outcome.gateway("gw", "Programmed"), "False Invalid");
    assert_eq!(outcome.listener("gw", "a", "Programmed"), "False Invalid");
    assert_eq!(outcome.plan, "");

    let mut world = World::new();
    let class = json!({"metadata": {"name": "odd", "generation": 3},
        "spec": {"controllerName": CONTROLLER, "parametersRef": parameters}});
    insert(&mut world.objects.classes, class);
    world.gateway_with(
        "gw",
        json!({"gatewayClassName": "odd", "listeners": [tcp("a", 80)]}),
    );
    let outcome = world.outcome();
    assert_eq!(
        said(outcome.status("gatewayclasses", "odd"), "Accepted"),
        "False InvalidParameters"
    );
    assert_eq!(outcome.gateway("gw", "Accepted"), "False InvalidParameters");
    assert_eq!(outcome.plan, "");
}

#[test]
fn gateways_of_other_controllers_are_not_touched() {
    let mut world = World::new();
    world.class("other", "example.com/other");
    for class in ["other", "unknown"] {
        world.gateway_with(
            class,
            json!({"gatewayClassName": class, "listeners": [tcp("a", 80)]}),
        );
        world.tcp_route(class, 1, to(class), backends(&[]));
    }
    let outcome = world.outcome();
    for name in ["other", "unknown"] {
        assert!(!outcome.is_written("gateways", name));
        assert!(!outcome.is_written("tcproutes", name));
    }
    assert_eq!(outcome.plan, "");
}
