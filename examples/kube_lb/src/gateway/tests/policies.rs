//! ConnectionPolicies: which one counts where, what it sets, and what is reported.

use serde_json::json;

use super::outcome::*;
use super::world::*;
use crate::gateway::policy::settings::read_policies;

/// A TCP listener with a route, and a TLS listener with another.
pub(super) fn world() -> World {
    let mut world = World::new();
    world.gateway_with(
        "gw",
        json!({"listeners": [tcp("a", 80), tcp("b", 81), tls("s", 443, Some("s.test"))],
        "allowedListeners": {"namespaces": {"from": "Same"}}}),
    );
    world.listener_set("set", 1, "gw", [tcp("c", 82)]);
    world.service("web", &[80]);
    let at = |section: &str| json!([{"name": "gw", "sectionName": section}]);
    world.tcp_route("t", 1, at("a"), backends(&[("web", 80, 1)]));
    world.tcp_route("u", 1, at("b"), backends(&[("web", 80, 1)]));
    world.tls_route("s", 1, at("s"), &["s.test"], backends(&[("web", 80, 1)]));
    world
}

/// What the first ancestor of a policy says.
pub(super) fn accepted(outcome: &Outcome, name: &str) -> String {
    said(
        &outcome.status("connectionpolicies", name)["ancestors"][0],
        "Accepted",
    )
}

pub(super) fn text(outcome: &Outcome, name: &str) -> String {
    message(
        &outcome.status("connectionpolicies", name)["ancestors"][0],
        "Accepted",
    )
}

#[test]
fn settings_of_a_route_apply_to_its_upstream_and_its_sessions_alone() {
    let mut world = world();
    let settings = json!({"proxyProtocol": "v2", "policy": "maglev", "drain": "30s",
        "clientSessions": 7, "sourceRanges": ["198.51.100.0/24"]});
    world.policy("p", 1, &[("TCPRoute", "t", None)], settings);
    let outcome = world.outcome();
    assert_eq!(accepted(&outcome, "p"), "True Accepted");
    let ancestor = &outcome.status("connectionpolicies", "p")["ancestors"][0]["ancestorRef"];
    assert_eq!(
        (&ancestor["kind"], &ancestor["name"]),
        (&json!("Gateway"), &json!("gw"))
    );
    let own = outcome.listens("192.0.2.1:80").unwrap();
    assert_eq!(
        own,
        "default/web:80 of TCPRoute default/t, only from 198.51.100.0/24, 7 sessions a client"
    );
    assert_eq!(
        outcome.listens("192.0.2.1:81"),
        Some("default/web:80 of routes")
    );
    let upstream = |of: &str| {
        let begin = format!("upstream default/web:80 of {of} ");
        outcome
            .plan
            .lines()
            .find_map(|line| line.strip_prefix(&begin))
            .unwrap()
            .to_owned()
    };
    let own = upstream("TCPRoute default/t");
    assert!(
        own.contains("policy maglev, PROXY protocol version 2"),
        "{own}"
    );
    assert!(own.contains("end within 30s"), "{own}");
    assert!(!upstream("routes").contains("PROXY"));
}

#[test]
fn of_listeners_the_section_precedes_the_whole_object() {
    let mut world = world();
    let only = |network: &str| json!({"sourceRanges": [network]});
    world.policy("whole", 1, &[("Gateway", "gw", None)], only("192.0.2.0/24"));
    world.policy(
        "section",
        2,
        &[("Gateway", "gw", Some("b"))],
        only("198.51.100.0/24"),
    );
    let outcome = world.outcome();
    assert_eq!(accepted(&outcome, "whole"), "True Accepted");
    assert_eq!(accepted(&outcome, "section"), "True Accepted");
    let from = |port: u16| {
        let routing = outcome.listens(&format!("192.0.2.1:{port}")).unwrap();
        routing
            .split_once("only from ")
            .map(|(_, sources)| sources.to_owned())
    };
    assert_eq!(from(80).as_deref(), Some("192.0.2.0/24"));
    assert_eq!(from(81).as_deref(), Some("198.51.100.0/24"));
    assert_eq!(from(443).as_deref(), Some("192.0.2.0/24"));
    // Policies of a Gateway do not apply to its ListenerSets.
    assert_eq!(from(82), None);
}

#[test]
fn a_client_must_be_admitted_by_the_listener_and_by_the_route() {
    for (listener, route, expected) in [
        (
            &["192.0.2.0/24"][..],
            &["192.0.2.128/25"][..],
            "only from 192.0.2.128/25",
        ),
        (
            &["192.0.2.128/25", "10.0.0.0/8"],
            &["192.0.2.0/24", "10.1.0.0/16"],
            "only from 192.0.2.128/25 10.1.0.0/16",
        ),
        (&["192.0.2.0/24"], &["198.51.100.0/24"], "only from "),
    ] {
        let mut world = world();
        world.policy(
            "l",
            1,
            &[("Gateway", "gw", Some("a"))],
            json!({"sourceRanges": listener, "clientSessions": 9}),
        );
        world.policy(
            "r",
            1,
            &[("TCPRoute", "t", None)],
            json!({"sourceRanges": route, "clientSessions": 3}),
        );
        let outcome = world.outcome();
        let routing = outcome.listens("192.0.2.1:80").unwrap();
        let settings = routing.split_once(", ").unwrap().1;
        // The route's own settings win where one value counts.
        assert_eq!(settings, format!("{expected}, 3 sessions a client"));
    }
}

#[test]
fn of_two_policies_the_oldest_counts_and_the_other_is_told() {
    let mut world = world();
    world.policy(
        "young",
        2,
        &[("Gateway", "gw", None)],
        json!({"clientSessions": 2}),
    );
    world.policy(
        "old",
        1,
        &[("Gateway", "gw", None)],
        json!({"clientSessions": 1}),
    );
    let outcome = world.outcome();
    assert_eq!(accepted(&outcome, "old"), "True Accepted");
    assert_eq!(accepted(&outcome, "young"), "False Conflicted");
    assert!(text(&outcome, "young").contains("default/old"));
    assert!(
        outcome
            .listens("192.0.2.1:80")
            .unwrap()
            .ends_with(", 1 sessions a client")
    );
}

#[test]
fn listeners_of_one_port_have_one_policy_or_it_does_not_count_there() {
    let mut world = World::new();
    world.gateway(
        "gw",
        [
            tls("a", 443, Some("a.test")),
            tls("b", 443, Some("b.test")),
            tcp("c", 80),
        ],
    );
    world.policy(
        "a",
        1,
        &[("Gateway", "gw", Some("a"))],
        json!({"clientSessions": 1}),
    );
    world.policy(
        "all",
        2,
        &[("Gateway", "gw", None)],
        json!({"clientSessions": 2}),
    );
    let outcome = world.outcome();
    for name in ["a", "all"] {
        assert_eq!(accepted(&outcome, name), "False Invalid");
        assert!(text(&outcome, name).contains("port 443"));
    }
    assert!(
        !outcome
            .listens("192.0.2.1:443")
            .unwrap()
            .contains("a client")
    );
    assert!(
        outcome
            .listens("192.0.2.1:80")
            .unwrap()
            .ends_with("2 sessions a client")
    );
    world.objects.policies.remove("default/a");
    let outcome = world.outcome();
    assert_eq!(accepted(&outcome, "all"), "True Accepted");
    assert!(
        outcome
            .listens("192.0.2.1:443")
            .unwrap()
            .ends_with("2 sessions a client")
    );
}

#[test]
fn an_invalid_change_keeps_the_last_valid_settings_and_never_admits_all_clients() {
    let mut world = world();
    let targets = [("TCPRoute", "t", None)];
    world.policy(
        "p",
        1,
        &targets,
        json!({"proxyProtocol": "v2", "sourceRanges": ["192.0.2.0/24"]}),
    );
    world.policies = read_policies(&world.objects.policies, &world.policies);
    world.policy(
        "p",
        1,
        &targets,
        json!({"proxyProtocol": "v3", "sourceRanges": ["198.51.100.0/24"]}),
    );
    let outcome = world.outcome();
    assert_eq!(accepted(&outcome, "p"), "False Invalid");
    let routing = outcome.listens("192.0.2.1:80").unwrap();
    assert_eq!(
        routing,
        "default/web:80 of TCPRoute default/t, only from 198.51.100.0/24"
    );
    assert!(outcome.plan.contains("PROXY protocol version 2"));
    // After a restart the valid settings are forgotten. The networks still apply.
    world.policies.clear();
    let outcome = world.outcome();
    let routing = outcome.listens("192.0.2.1:80").unwrap();
    assert_eq!(
        routing,
        "default/web:80 of routes, only from 198.51.100.0/24"
    );
}

#[test]
fn a_policy_without_a_known_target_is_reported_at_the_target() {
    let mut world = world();
    world.policy(
        "p",
        1,
        &[("Gateway", "gone", None), ("TCPRoute", "t", None)],
        json!({}),
    );
    let outcome = world.outcome();
    let ancestors = outcome.status("connectionpolicies", "p")["ancestors"]
        .as_array()
        .unwrap();
    assert_eq!(ancestors.len(), 2);
    assert_eq!(ancestors[0]["ancestorRef"]["name"], "gone");
    assert_eq!(said(&ancestors[0], "Accepted"), "False TargetNotFound");
    assert_eq!(ancestors[1]["ancestorRef"]["name"], "gw");
    assert_eq!(said(&ancestors[1], "Accepted"), "True Accepted");
}
