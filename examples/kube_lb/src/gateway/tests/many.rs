//! Users with very many objects.
//!
//! `LB_MANY=4000` sets their number, and each test prints how long one decision takes: `cargo test --release -p kube_lb --lib many --
//! --nocapture`. The time must grow with the number, and not with its square.

#![allow(clippy::print_stdout, reason = "figures")]

use std::collections::BTreeSet;
use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::outcome::{Outcome, message};
use super::world::{World, backends, parent, tcp, tls, to, with};
use crate::gateway::conflict::find_conflicts;
use crate::gateway::host_pattern::HostPattern;
use crate::gateway::listener::{GatewayListener, ListenerOwner};

/// How many objects there are.
fn many() -> usize {
    let many = std::env::var("LB_MANY").ok();
    many.and_then(|many| many.parse().ok()).unwrap_or(200)
}

fn decide(what: &str, world: &World) -> Outcome {
    let began = Instant::now();
    let outcome = world.outcome();
    println!("{} {what}: {:?}", many(), began.elapsed());
    outcome
}

fn open_gateway(listeners: &[Value]) -> World {
    let mut world = World::new();
    let all = json!({"namespaces": {"from": "All"}});
    let spec = json!({"listeners": listeners, "allowedListeners": all});
    world.gateway_with("gw", spec);
    world
}

/// 64 listeners of TCP from the port `first` on.
fn sixty_four(first: usize) -> Vec<Value> {
    let ports = (first..first + 64).filter_map(|port| u16::try_from(port).ok());
    ports.map(|port| tcp(&format!("p{port}"), port)).collect()
}

#[test]
fn a_gateway_and_its_listener_sets_have_as_many_ports_as_a_service() {
    let mut world = open_gateway(&sixty_four(1));
    // 1023 of them want all ports together.
    let last = many().min(1023);
    for set in 1..=last {
        world.listener_set_of(&format!("set-{set:04}"), 1, "gw", &sixty_four(1 + 64 * set));
    }
    let outcome = decide("ListenerSets, at most 1023", &world);
    assert_eq!(outcome.plan.lines().count(), 128);
    assert_eq!(outcome.gateway("gw", "Programmed"), "True Programmed");
    assert_eq!(outcome.listener("gw", "p64", "Accepted"), "True Accepted");
    let listener =
        |set: &str, port: &str| outcome.listener(&format!("listenersets {set}"), port, "Accepted");
    assert_eq!(listener("set-0001", "p128"), "True Accepted");
    assert_eq!(listener("set-0002", "p129"), "False PortUnavailable");
    let (set, port) = (format!("set-{last:04}"), 64 * last + 63);
    assert_eq!(outcome.set(&set, "Accepted"), "False ListenersNotValid");
    let last = outcome.status("listenersets", &set);
    assert_eq!(
        message(&last["listeners"][62], "Accepted"),
        format!("port {port} is above the limit of 128 ports a Gateway")
    );
    for patch in &outcome.patches {
        let size = patch.body.to_string().len();
        assert!(size < 200_000, "{} has {size} bytes", patch.object);
    }
}

#[test]
fn listeners_of_one_port_count_once_against_the_limit() {
    let names = (0..64).map(|i| tls(&format!("l{i}"), 443, Some(&format!("h{i}.test"))));
    let mut world = open_gateway(&names.collect::<Vec<_>>());
    world.max_ports = 2;
    world.listener_set(
        "set",
        1,
        "gw",
        [tcp("a", 80), tcp("b", 81), tls("c", 443, None)],
    );
    let outcome = world.outcome();
    for (listener, expected) in [
        ("a", "True Accepted"),
        ("b", "False PortUnavailable"),
        ("c", "True Accepted"),
    ] {
        assert_eq!(
            outcome.listener("listenersets set", listener, "Accepted"),
            expected,
            "{listener}"
        );
    }
    assert_eq!(outcome.gateway("gw", "Accepted"), "True Accepted");
}

#[test]
fn many_listeners_of_tls_share_a_port() {
    let mut world = open_gateway(&[tls("any", 443, None)]);
    world.service("web", &[80]);
    for set in 0..many() / 50 {
        let names = (0..50).map(|i| {
            let name = format!("{i}.{set}.test");
            tls(&format!("l{i}"), 443, Some(&name))
        });
        world.listener_set_of(&format!("set{set}"), 1, "gw", &names.collect::<Vec<_>>());
        let parents = json!([with(parent("gw"), json!({"kind": "Gateway"})),
            {"kind": "ListenerSet", "name": format!("set{set}")}]);
        let host = format!("*.{set}.test");
        world.tls_route(
            &format!("r{set}"),
            1,
            parents,
            &[&host],
            backends(&[("web", 80, 1)]),
        );
    }
    let outcome = decide("listeners of TLS on one port", &world);
    assert_eq!(outcome.gateway("gw", "Programmed"), "True Programmed");
    assert_eq!(
        outcome.listener("listenersets set1", "l1", "OverlappingTLSConfig"),
        "True OverlappingHostnames"
    );
    assert_eq!(outcome.attached("listenersets set1", "l49"), 1);
    assert_eq!(
        outcome.tls("r1", "kube-lb.internal/Serving"),
        "True Serving"
    );
    assert_eq!(
        outcome
            .plan
            .lines()
            .filter(|line| line.starts_with("listen"))
            .count(),
        1
    );
}

#[test]
fn many_host_names_of_routes_on_many_listeners() {
    let listeners: Vec<_> = (0..64u16)
        .map(|i| tls(&format!("l{i}"), 4000 + i, None))
        .collect();
    let mut world = open_gateway(&listeners);
    world.service("web", &[80]);
    // The API server accepts 1024 names of a route.
    let names: Vec<_> = (0..1024).map(|i| format!("h{i}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for route in 0..(many() / 200).min(20) {
        world.tls_route(
            &format!("r{route}"),
            1,
            to("gw"),
            &names,
            backends(&[("web", 80, 1)]),
        );
    }
    let outcome = decide("/ 200 routes with 1024 names on 64 listeners", &world);
    assert_eq!(outcome.attached("gw", "l63"), (many() / 200).min(20) as i64);
    assert_eq!(
        outcome.tls("r0", "kube-lb.internal/Serving"),
        "True Serving"
    );
    for patch in &outcome.patches {
        assert!(patch.body.to_string().len() < 200_000, "{}", patch.object);
    }
}

#[test]
fn many_routes_of_one_listener_and_many_grants() {
    let mut world = open_gateway(&[with(
        tcp("a", 80),
        json!({"allowedRoutes": {"namespaces": {"from": "All"}}}),
    )]);
    for number in 0..many() {
        let service = format!("blue/s{number}");
        world.service(&service, &[80]);
        let from =
            json!({"group": "gateway.networking.k8s.io", "kind": "TCPRoute", "namespace": "red"});
        // Every second one is permitted.
        let kind = ["Service", "Secret"][number % 2];
        let to_one = json!({"group": "", "kind": kind, "name": format!("s{number}")});
        world.grant_named(&format!("g{number}"), "blue", from, to_one);
        let to_gateway = to("gw");
        world.tcp_route(
            &format!("red/r{number:05}"),
            1,
            to_gateway,
            backends(&[(&service, 80, 1)]),
        );
    }
    let outcome = decide(
        "TCPRoutes of one listener, Services and ReferenceGrants",
        &world,
    );
    assert_eq!(outcome.attached("gw", "a"), many() as i64);
    assert_eq!(
        outcome.tcp("red/r00000", "ResolvedRefs"),
        "True ResolvedRefs"
    );
    assert_eq!(
        outcome.tcp("red/r00001", "ResolvedRefs"),
        "False RefNotPermitted"
    );
    assert_eq!(
        outcome.tcp("red/r00000", "kube-lb.internal/Serving"),
        "True Serving"
    );
    assert_eq!(
        outcome.tcp("red/r00001", "kube-lb.internal/Serving"),
        "False Superseded"
    );
}

#[test]
fn many_gateways_for_which_no_address_is_free() {
    let mut world = World::new();
    for number in 0..many() {
        world.gateway(&format!("gw{number:05}"), [tcp("a", 80), tcp("b", 81)]);
        world.policy(
            &format!("p{number}"),
            1,
            &[("Gateway", &format!("gw{number:05}"), None)],
            json!({"clientSessions": 1}),
        );
    }
    let outcome = decide(
        "Gateways and policies, of which nine have an address",
        &world,
    );
    assert_eq!(outcome.plan.lines().count(), 18);
    assert_eq!(outcome.gateway("gw00008", "Programmed"), "True Programmed");
    assert_eq!(
        outcome.gateway("gw00009", "Programmed"),
        "False AddressNotAssigned"
    );
}

/// Host names with few labels, so that many have something in common.
fn host() -> impl Strategy<Value = Option<String>> {
    let label = prop_oneof![Just("a"), Just("b")];
    let name = prop::collection::vec(label, 1..4);
    let name = (any::<bool>(), name).prop_map(|(is_wildcard, labels)| {
        let name = labels.join(".");
        match is_wildcard {
            true => format!("*.{name}"),
            false => name,
        }
    });
    prop::option::weighted(0.9, name)
}

proptest! {
    /// By the definitions, which compare each listener with each other one.
    #[test]
    fn conflicts_and_overlaps_are_those_of_each_pair(hosts in prop::collection::vec((host(), 0..2_u16), 1..24)) {
        let specs = hosts.iter().map(|(host, port)| {
            serde_json::from_value(tls("l", 443 + port, host.as_deref())).unwrap()
        });
        let specs: Vec<_> = specs.collect();
        let listeners = specs.iter().enumerate();
        let mut listeners: Vec<_> = listeners
            .map(|(i, spec)| GatewayListener::new(spec, 0, ListenerOwner::Set(i)))
            .collect();
        // Each is in an object of its own.
        let objects: Vec<_> = (0..listeners.len()).map(|i| i..i + 1).collect();
        find_conflicts(&mut listeners, &objects);
        let mut accepted: Vec<usize> = Vec::new();
        for (i, listener) in listeners.iter().enumerate() {
            let is_same = |other: &usize| listeners[*other].host == listener.host && listeners[*other].port == listener.port;
            let is_refused = accepted.iter().any(is_same);
            prop_assert_eq!(listener.conflict.is_some(), is_refused);
            if !is_refused {
                accepted.push(i);
            }
        }
        for &i in &accepted {
            let one = &listeners[i];
            let overlaps = |other: &usize| {
                let other = &listeners[*other];
                other.port == one.port && other.host != one.host && one.host.intersection(&other.host).is_some()
            };
            prop_assert_eq!(one.is_overlapping, accepted.iter().any(overlaps));
        }
    }

    /// The wider patterns of a name are all patterns of a set that cover it.
    #[test]
    fn the_wider_patterns_are_all_that_cover_it(hosts in prop::collection::vec(host(), 1..24)) {
        let parse = |host: &Option<String>| match host {
            Some(host) => HostPattern::parse(host).unwrap(),
            None => HostPattern::Any,
        };
        let all: BTreeSet<_> = hosts.iter().map(parse).collect();
        for one in &all {
            let wider: BTreeSet<_> = one.wider().filter(|wider| all.contains(wider)).collect();
            let covering = all.iter().filter(|other| *other != one && other.covers(one));
            prop_assert_eq!(wider, covering.cloned().collect::<BTreeSet<_>>());
        }
    }
}
