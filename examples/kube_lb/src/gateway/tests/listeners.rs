//! Listeners of a Gateway: protocols, kinds, conflicts.

use serde_json::{Value, json};

use super::world::*;

/// Accepted, Programmed and Conflicted of each listener.
fn assert_listeners(
    rule: &str,
    listeners: Vec<Value>,
    expected: &[(&str, [&str; 3])],
    gateway: &str,
) {
    let mut world = World::new();
    world.gateway_with("gw", json!({"listeners": listeners}));
    let outcome = world.outcome();
    for (name, conditions) in expected {
        for (condition, expected) in ["Accepted", "Programmed", "Conflicted"]
            .iter()
            .zip(conditions)
        {
            let said = outcome.listener("gw", name, condition);
            assert_eq!(said, *expected, "{rule}: {condition} of {name}");
        }
    }
    assert_eq!(outcome.gateway("gw", "Accepted"), gateway, "{rule}");
}

const SERVED: [&str; 3] = ["True Accepted", "True Programmed", "False NoConflicts"];
const UNSUPPORTED: [&str; 3] = [
    "False UnsupportedProtocol",
    "False Invalid",
    "False NoConflicts",
];
const PROTOCOL: [&str; 3] = [
    "False ProtocolConflict",
    "False ProtocolConflict",
    "True ProtocolConflict",
];
const HOSTNAME: [&str; 3] = [
    "False HostnameConflict",
    "False HostnameConflict",
    "True HostnameConflict",
];

#[test]
fn protocols() {
    let terminate = with(
        listener("s", "TLS", 443),
        json!({"tls": {"mode": "Terminate"}}),
    );
    for (rule, one, expected, gateway) in [
        ("TCP is served", tcp("s", 80), SERVED, "True Accepted"),
        (
            "TLS in passthrough is served",
            tls("s", 443, None),
            SERVED,
            "True Accepted",
        ),
        (
            "TLS is not terminated",
            terminate,
            UNSUPPORTED,
            "False ListenersNotValid",
        ),
        (
            "HTTP is not supported",
            listener("s", "HTTP", 80),
            UNSUPPORTED,
            "False ListenersNotValid",
        ),
        (
            "HTTPS is not supported",
            listener("s", "HTTPS", 443),
            UNSUPPORTED,
            "False ListenersNotValid",
        ),
        (
            "UDP is not supported",
            listener("s", "UDP", 53),
            UNSUPPORTED,
            "False ListenersNotValid",
        ),
        (
            "an unknown protocol is not",
            listener("s", "example.com/x", 9),
            UNSUPPORTED,
            "False ListenersNotValid",
        ),
    ] {
        assert_listeners(rule, vec![one], &[("s", expected)], gateway);
    }
}

#[test]
fn conflicts() {
    let terminate = with(
        listener("t", "TLS", 443),
        json!({"tls": {"mode": "Terminate"}, "hostname": "t.test"}),
    );
    for (rule, listeners, expected, gateway) in [
        (
            "TCP beside HTTP on a port: none is accepted, and there is no winner",
            vec![tcp("a", 80), listener("b", "HTTP", 80), tcp("c", 81)],
            &[("a", PROTOCOL), ("b", PROTOCOL), ("c", SERVED)][..],
            "True ListenersNotValid",
        ),
        (
            "TCP beside HTTPS on a port",
            vec![tcp("a", 443), listener("b", "HTTPS", 443)],
            &[("a", PROTOCOL), ("b", PROTOCOL)],
            "False ListenersNotValid",
        ),
        (
            "TCP beside TLS on a port",
            vec![tcp("a", 443), tls("b", 443, Some("b.test"))],
            &[("a", PROTOCOL), ("b", PROTOCOL)],
            "False ListenersNotValid",
        ),
        (
            "TCP and UDP may share a port",
            vec![tcp("a", 53), listener("b", "UDP", 53)],
            &[("a", SERVED), ("b", UNSUPPORTED)],
            "True ListenersNotValid",
        ),
        (
            "two modes of TLS on a port, although the host names differ",
            vec![tls("p", 443, Some("p.test")), terminate],
            &[("p", PROTOCOL), ("t", PROTOCOL)],
            "False ListenersNotValid",
        ),
        (
            "HTTPS beside TLS on a port",
            vec![tls("p", 443, Some("p.test")), listener("h", "HTTPS", 443)],
            &[("p", PROTOCOL), ("h", PROTOCOL)],
            "False ListenersNotValid",
        ),
        (
            "one host name twice on a port",
            vec![
                tls("a", 443, Some("a.test")),
                tls("b", 443, Some("a.test")),
                tls("c", 443, Some("c.test")),
            ],
            &[("a", HOSTNAME), ("b", HOSTNAME), ("c", SERVED)],
            "True ListenersNotValid",
        ),
        (
            "other host names, ports and wildcards are distinct",
            vec![
                tls("a", 443, Some("a.test")),
                tls("b", 443, Some("*.test")),
                tls("c", 443, None),
                tls("d", 8443, Some("a.test")),
            ],
            &[("a", SERVED), ("b", SERVED), ("c", SERVED), ("d", SERVED)],
            "True Accepted",
        ),
        (
            "an unknown protocol conflicts with none",
            vec![tcp("a", 80), listener("b", "example.com/x", 80)],
            &[("a", SERVED), ("b", UNSUPPORTED)],
            "True ListenersNotValid",
        ),
    ] {
        assert_listeners(rule, listeners, expected, gateway);
    }
}

#[test]
fn listeners_of_tls_with_host_names_in_common_are_marked_and_others_are_not() {
    let mut world = World::new();
    world.gateway(
        "gw",
        [
            tls("exact", 443, Some("a.example.com")),
            tls("wild", 443, Some("*.example.com")),
            tls("apart", 443, Some("a.example.org")),
            tls("port", 8443, Some("a.example.com")),
        ],
    );
    let outcome = world.outcome();
    for (name, expected) in [
        ("exact", "True OverlappingHostnames"),
        ("wild", "True OverlappingHostnames"),
        ("apart", "-"),
        ("port", "-"),
    ] {
        assert_eq!(
            outcome.listener("gw", name, "OverlappingTLSConfig"),
            expected,
            "{name}"
        );
    }
}

#[test]
fn kinds() {
    let kinds = |kinds: Value| json!({"allowedRoutes": {"kinds": kinds}});
    for (rule, one, expected, resolved) in [
        (
            "TCP has TCPRoutes",
            tcp("a", 80),
            &["TCPRoute"][..],
            "True ResolvedRefs",
        ),
        (
            "TLS has TLSRoutes",
            tls("a", 443, None),
            &["TLSRoute"],
            "True ResolvedRefs",
        ),
        (
            "HTTP has none",
            listener("a", "HTTP", 80),
            &[],
            "True ResolvedRefs",
        ),
        (
            "an allowed kind of the protocol",
            with(tcp("a", 80), kinds(json!([{"kind": "TCPRoute"}]))),
            &["TCPRoute"],
            "True ResolvedRefs",
        ),
        (
            "a kind of another protocol",
            with(tcp("a", 80), kinds(json!([{"kind": "HTTPRoute"}]))),
            &[],
            "False InvalidRouteKinds",
        ),
        (
            "a kind of another group",
            with(
                tcp("a", 80),
                kinds(json!([{"group": "example.com", "kind": "TCPRoute"}])),
            ),
            &[],
            "False InvalidRouteKinds",
        ),
        (
            "of a valid and an invalid kind, the valid one is listed",
            with(
                tls("a", 443, None),
                kinds(json!([{"kind": "TCPRoute"}, {"kind": "TLSRoute"}])),
            ),
            &["TLSRoute"],
            "False InvalidRouteKinds",
        ),
    ] {
        let mut world = World::new();
        world.gateway("gw", [one]);
        let outcome = world.outcome();
        assert_eq!(outcome.kinds("gw", "a"), expected, "{rule}");
        assert_eq!(
            outcome.listener("gw", "a", "ResolvedRefs"),
            resolved,
            "{rule}"
        );
        let summary = if resolved.starts_with("True") {
            resolved
        } else {
            "False ListenersNotResolved"
        };
        assert_eq!(outcome.gateway("gw", "ResolvedRefs"), summary, "{rule}");
    }
}

#[test]
fn a_listener_without_a_route_listens_and_refuses() {
    let mut world = World::new();
    world.gateway("gw", [tcp("a", 80), tls("b", 443, Some("b.test"))]);
    let outcome = world.outcome();
    let refused = Some("refused (no route is attached to the listener)");
    assert_eq!(outcome.listens("192.0.2.1:80"), refused);
    assert_eq!(outcome.listens("192.0.2.1:443"), refused);
    assert_eq!(outcome.listener("gw", "a", "Programmed"), "True Programmed");
    assert_eq!(outcome.attached("gw", "a"), 0);
}
