//! Addresses of Gateways.

use serde_json::{Value, json};

use super::outcome::*;
use super::world::*;
use crate::addresses::{Pool, Pools};

fn addressed(addresses: Value) -> World {
    let mut world = World::new();
    world.gateway_with(
        "gw",
        json!({"listeners": [tcp("a", 80)], "addresses": addresses}),
    );
    world
}

fn assigned(outcome: &Outcome, name: &str) -> Vec<String> {
    let addresses = &outcome.status("gateways", name)["addresses"];
    let addresses = addresses.as_array().unwrap().iter();
    addresses
        .map(|address| {
            assert_eq!(address["type"], "IPAddress");
            address["value"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn requested_addresses() {
    let ip = |value: &str| json!({"type": "IPAddress", "value": value});
    for (rule, addresses, accepted, programmed, expected) in [
        (
            "none: one of the pool",
            json!([]),
            "True Accepted",
            "True Programmed",
            &["192.0.2.1"][..],
        ),
        (
            "a static one",
            json!([ip("192.0.2.7")]),
            "True Accepted",
            "True Programmed",
            &["192.0.2.7"],
        ),
        (
            "the type is IPAddress by default",
            json!([{"value": "192.0.2.7"}]),
            "True Accepted",
            "True Programmed",
            &["192.0.2.7"],
        ),
        (
            "several",
            json!([ip("192.0.2.7"), ip("192.0.2.3")]),
            "True Accepted",
            "True Programmed",
            &["192.0.2.7", "192.0.2.3"],
        ),
        (
            "one without a value",
            json!([{"type": "IPAddress"}]),
            "True Accepted",
            "True Programmed",
            &["192.0.2.1"],
        ),
        (
            "one of no pool",
            json!([ip("203.0.113.1")]),
            "True Accepted",
            "False AddressNotUsable",
            &[],
        ),
        (
            "one of no pool beside a usable one, which is served",
            json!([ip("203.0.113.1"), ip("192.0.2.7")]),
            "True Accepted",
            "False AddressNotUsable",
            &["192.0.2.7"],
        ),
        (
            "another type",
            json!([{"type": "Hostname", "value": "a.test"}, ip("192.0.2.7")]),
            "False UnsupportedAddress",
            "False Invalid",
            &[],
        ),
        (
            "one without a value beside one with a value",
            json!([ip("192.0.2.7"), {"type": "IPAddress"}]),
            "True Accepted",
            "False AddressNotAssigned",
            &["192.0.2.7"],
        ),
    ] {
        let outcome = addressed(addresses).outcome();
        assert_eq!(outcome.gateway("gw", "Accepted"), accepted, "{rule}");
        assert_eq!(outcome.gateway("gw", "Programmed"), programmed, "{rule}");
        assert_eq!(assigned(&outcome, "gw"), expected, "{rule}");
        for ip in expected {
            assert!(outcome.listens(&format!("{ip}:80")).is_some(), "{rule}");
        }
        assert_eq!(
            outcome
                .plan
                .lines()
                .filter(|line| line.starts_with("listen"))
                .count(),
            expected.len()
        );
    }
}

#[test]
fn a_pool_that_is_spent_leaves_a_gateway_without_an_address() {
    let mut world = World::new();
    let range = "192.0.2.1".parse().unwrap();
    let mut pool = Pool::new("tiny", [range]);
    pool.is_shared = false;
    world.pools = Pools::try_new(vec![pool]).unwrap();
    world
        .gateway("a", [tcp("a", 80)])
        .gateway("b", [tcp("a", 81)]);
    let outcome = world.outcome();
    assert_eq!(outcome.gateway("a", "Programmed"), "True Programmed");
    assert_eq!(outcome.gateway("b", "Accepted"), "True Accepted");
    assert_eq!(
        outcome.gateway("b", "Programmed"),
        "False AddressNotAssigned"
    );
    assert_eq!(outcome.listener("b", "a", "Programmed"), "False Pending");
    world.pools = Pools::default();
    assert_eq!(
        world.outcome().gateway("a", "Programmed"),
        "False AddressNotAssigned"
    );
}

#[test]
fn gateways_share_an_address_where_their_ports_differ_and_the_oldest_has_a_port() {
    let mut world = World::new();
    let addresses = json!([{"value": "192.0.2.7"}]);
    for (name, ports) in [("a", [80, 81]), ("b", [81, 82])] {
        let listeners = ports.map(|port| tcp(&format!("l{port}"), port));
        world.gateway_with(
            name,
            json!({"listeners": listeners, "addresses": addresses}),
        );
    }
    let outcome = world.outcome();
    assert_eq!(
        outcome.listener("a", "l81", "Programmed"),
        "True Programmed"
    );
    assert_eq!(
        outcome.listener("b", "l81", "Accepted"),
        "False PortUnavailable"
    );
    assert_eq!(
        outcome.listener("b", "l81", "Programmed"),
        "False PortUnavailable"
    );
    assert_eq!(
        outcome.listener("b", "l82", "Programmed"),
        "True Programmed"
    );
    assert_eq!(outcome.gateway("b", "Programmed"), "True Programmed");
}

#[test]
fn both_families_are_assigned_where_the_pools_have_both() {
    let mut world = World::new();
    let ranges = ["192.0.2.1", "2001:db8::1-2001:db8::9"].map(|range| range.parse().unwrap());
    world.pools = Pools::try_new(vec![Pool::new("dual", ranges)]).unwrap();
    world.gateway("gw", [tcp("a", 80)]);
    let outcome = world.outcome();
    assert_eq!(assigned(&outcome, "gw"), ["192.0.2.1", "2001:db8::1"]);
    let status = outcome.status("gateways", "gw");
    let programmed = message(&status["listeners"][0], "Programmed");
    assert_eq!(programmed, "assigned 192.0.2.1:80, [2001:db8::1]:80");
}

#[test]
fn the_status_is_the_memory_of_addresses_and_ports() {
    let mut world = World::new();
    // Both may choose; the second one has the first address already, and a port of the third.
    world
        .gateway("a", [tcp("x", 80)])
        .gateway("b", [tcp("x", 80)]);
    let before = world.outcome();
    assert_eq!(assigned(&before, "a"), ["192.0.2.1"]);
    assert_eq!(assigned(&before, "b"), ["192.0.2.2"]);
    let status = |outcome: &Outcome, name: &str| outcome.status("gateways", name).clone();
    let (of_a, of_b) = (status(&before, "a"), status(&before, "b"));
    let mut restarted = World::new();
    for (name, status) in [("b", of_a), ("a", of_b)] {
        restarted.gateway(name, [tcp("x", 80)]);
        let gateway = restarted
            .objects
            .gateways
            .get_mut(&format!("default/{name}"))
            .unwrap();
        std::sync::Arc::make_mut(gateway).status = serde_json::from_value(status).unwrap();
    }
    // Nothing is written, because all is as it was.
    let after = restarted.outcome_at("2026-12-01T00:00:00Z");
    assert!(!after.is_written("gateways", "a") && !after.is_written("gateways", "b"));
    assert!(
        after
            .plan
            .contains("listen 192.0.2.1:80 for Gateway default/b")
    );
    assert!(
        after
            .plan
            .contains("listen 192.0.2.2:80 for Gateway default/a")
    );
}

#[test]
fn a_port_that_the_machine_cannot_listen_on_is_reported_and_kept() {
    let mut world = World::new();
    world.gateway("gw", [tcp("a", 80), tcp("b", 81)]);
    let addr = "192.0.2.1:80".parse().unwrap();
    world
        .feedback
        .listening
        .insert(addr, "permission denied".to_owned());
    let outcome = world.outcome();
    assert_eq!(outcome.listener("gw", "a", "Accepted"), "True Accepted");
    assert_eq!(
        outcome.listener("gw", "a", "Programmed"),
        "False PortUnavailable"
    );
    let status = outcome.status("gateways", "gw");
    let text = message(&status["listeners"][0], "Programmed");
    assert_eq!(
        text,
        "assigned 192.0.2.1:80; cannot listen on 192.0.2.1:80: permission denied"
    );
    assert_eq!(outcome.gateway("gw", "Programmed"), "True Programmed");
}
