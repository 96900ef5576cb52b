//! TLSRoutes: host names, and which route a client gets.

use serde_json::json;

use super::outcome::*;
use super::world::*;

/// Each listener with its host name.
type TlsListeners<'a> = &'a [(&'a str, Option<&'a str>)];

/// A world with listeners on port 443 and a Service for each of `routes`: its name, its section and its host names.
fn world(listeners: TlsListeners<'_>, routes: &[(&str, &str, &[&str])]) -> World {
    let mut world = World::new();
    let listeners: Vec<_> = listeners
        .iter()
        .map(|(name, host)| tls(name, 443, *host))
        .collect();
    world.gateway_with("gw", json!({"listeners": listeners}));
    for (second, (name, section, hostnames)) in (1..).zip(routes) {
        world.service(name, &[443]);
        let mut parents = to("gw");
        if !section.is_empty() {
            parents[0]["sectionName"] = (*section).into();
        }
        world.tls_route(
            name,
            second,
            parents,
            hostnames,
            backends(&[(name, 443, 1)]),
        );
    }
    world
}

#[test]
fn a_route_is_accepted_if_it_has_a_name_in_common_with_a_listener() {
    for (listener, hostnames, expected) in [
        (
            Some("abc.example.com"),
            &["abc.example.com"][..],
            "True Accepted",
        ),
        (Some("*.example.com"), &["abc.example.com"], "True Accepted"),
        (Some("abc.example.com"), &["*.example.com"], "True Accepted"),
        (Some("*.example.com"), &["*.com"], "True Accepted"),
        (None, &["*.com"], "True Accepted"),
        (
            Some("a.example.com"),
            &["b.example.com"],
            "False NoMatchingListenerHostname",
        ),
        (
            Some("*.example.com"),
            &["example.com"],
            "False NoMatchingListenerHostname",
        ),
        (
            Some("*.example.com"),
            &["a.example.net", "b.example.com"],
            "True Accepted",
        ),
        (
            Some("a.example.com"),
            &["*.example.net"],
            "False NoMatchingListenerHostname",
        ),
    ] {
        let outcome = world(&[("s", listener)], &[("r", "", hostnames)]).outcome();
        assert_eq!(
            outcome.tls("r", "Accepted"),
            expected,
            "{listener:?} {hostnames:?}"
        );
        let attached = i64::from(expected.starts_with("True"));
        assert_eq!(
            outcome.attached("gw", "s"),
            attached,
            "{listener:?} {hostnames:?}"
        );
    }
}

#[test]
fn the_routes_of_other_listeners_are_not_allowed() {
    let mut world = World::new();
    let https = with(
        listener("https", "HTTPS", 8443),
        json!({"tls": {"mode": "Terminate"}}),
    );
    world.gateway(
        "gw",
        [
            listener("http", "HTTP", 80),
            https,
            tcp("tcp", 81),
            tls("tls", 443, None),
        ],
    );
    for section in ["http", "https", "tcp", "none"] {
        let parents = json!([{"name": "gw", "sectionName": section}]);
        world.tls_route(section, 1, parents, &["a.test"], backends(&[]));
    }
    let parents = json!([{"name": "gw", "sectionName": "tls"}]);
    world.tcp_route("plain", 1, parents, backends(&[]));
    let outcome = world.outcome();
    for section in ["http", "https", "tcp"] {
        assert_eq!(
            outcome.tls(section, "Accepted"),
            "False NotAllowedByListeners",
            "{section}"
        );
        assert_eq!(outcome.attached("gw", section), 0);
    }
    assert_eq!(outcome.tls("none", "Accepted"), "False NoMatchingParent");
    assert_eq!(
        outcome.tcp("plain", "Accepted"),
        "False NotAllowedByListeners"
    );
}

#[test]
fn names_get_the_route_with_the_most_specific_pattern() {
    for (rule, listeners, routes, expected) in [
        (
            "exact before wildcard, whatever the age",
            &[("s", None)][..],
            &[
                ("wild", "", &["*.a.test"][..]),
                ("exact", "", &["x.a.test"]),
            ][..],
            "*.a.test -> default/wild:443 of routes; x.a.test -> default/exact:443 of routes; \
             other names are refused",
        ),
        (
            "the oldest of one pattern",
            &[("s", None)],
            &[("old", "", &["x.test"]), ("new", "", &["x.test", "y.test"])],
            "x.test -> default/old:443 of routes; y.test -> default/new:443 of routes; other names are refused",
        ),
        (
            "a name of the listener without a route is refused",
            &[("s", Some("*.a.test"))],
            &[("r", "", &["x.a.test"])],
            "*.a.test -> refused (no route of the listener has the name); \
             x.a.test -> default/r:443 of routes; other names are refused",
        ),
        (
            "names that the listener does not have are ignored",
            &[("s", Some("*.a.test"))],
            &[("r", "", &["x.a.test", "x.b.test"])],
            "*.a.test -> refused (no route of the listener has the name); \
             x.a.test -> default/r:443 of routes; other names are refused",
        ),
        (
            "a listener's name narrows the route's",
            &[("s", Some("x.a.test"))],
            &[("r", "", &["*.a.test"])],
            "x.a.test -> default/r:443 of routes; other names are refused",
        ),
        (
            "names of a more specific listener are not served by the routes of another",
            &[("any", None), ("a", Some("*.a.test"))],
            &[
                ("r", "any", &["x.a.test", "x.b.test"]),
                ("s", "a", &["y.a.test"]),
            ],
            "*.a.test -> refused (no route of the listener has the name); \
             x.b.test -> default/r:443 of routes; y.a.test -> default/s:443 of routes; other names are refused",
        ),
        (
            "a wildcard of one listener around the name of another",
            &[("any", None), ("x", Some("x.a.test"))],
            &[("r", "any", &["*.a.test"]), ("s", "x", &["x.a.test"])],
            "*.a.test -> default/r:443 of routes; x.a.test -> default/s:443 of routes; other names are refused",
        ),
        (
            "a route on all listeners",
            &[("any", None), ("a", Some("*.a.test"))],
            &[("r", "", &["x.a.test", "x.b.test"])],
            "*.a.test -> refused (no route of the listener has the name); \
             x.a.test x.b.test -> default/r:443 of routes; other names are refused",
        ),
        (
            "a route without names has those of the listener",
            &[("any", None)],
            &[("r", "", &[])],
            "other names -> default/r:443 of routes",
        ),
    ] {
        let outcome = world(listeners, routes).outcome();
        let routing = outcome.listens("192.0.2.1:443").unwrap();
        let parts = |text: &str| {
            let mut parts: Vec<String> = text.split("; ").map(str::to_owned).collect();
            parts.sort();
            parts
        };
        assert_eq!(parts(routing), parts(expected), "{rule}");
    }
}

#[test]
fn of_routes_of_one_age_the_first_by_name_gets_a_name() {
    let mut world = world(&[("s", None)], &[]);
    for name in ["b", "a", "c"] {
        world.service(name, &[443]);
        world.tls_route(name, 1, to("gw"), &["x.test"], backends(&[(name, 443, 1)]));
    }
    let outcome = world.outcome();
    assert_eq!(
        outcome.listens("192.0.2.1:443"),
        Some("x.test -> default/a:443 of routes; other names are refused")
    );
    assert_eq!(outcome.attached("gw", "s"), 3);
    for name in ["b", "c"] {
        assert_eq!(
            outcome.tls(name, "kube-lb.internal/Serving"),
            "False Superseded"
        );
    }
}

#[test]
fn tls_routes_are_selected_as_tcp_routes_are() {
    for (rule, section, port, accepted, attached) in [
        ("every listener", None, None, "True Accepted", [1, 1]),
        ("by sectionName", Some("one"), None, "True Accepted", [1, 0]),
        ("by port", None, Some(444), "True Accepted", [0, 1]),
        (
            "both must match",
            Some("one"),
            Some(444),
            "False NoMatchingParent",
            [0, 0],
        ),
    ] {
        let mut world = World::new();
        world.gateway("gw", [tls("one", 443, None), tls("two", 444, None)]);
        let parents = super::routes::section("gw", section, port);
        world.tls_route("r", 1, parents, &["a.test"], backends(&[]));
        let outcome = world.outcome();
        assert_eq!(outcome.tls("r", "Accepted"), accepted, "{rule}");
        let of = ["one", "two"].map(|name| outcome.attached("gw", name));
        assert_eq!(of, attached, "{rule}");
    }
}

#[test]
fn namespaces_of_tls_routes_are_admitted_as_the_listener_says() {
    let selector = json!({"from": "Selector", "selector": {"matchLabels": {"team": "red"}}});
    for (namespaces, admitted) in [
        (json!({"from": "Same"}), &["default"][..]),
        (json!({"from": "All"}), &["default", "red", "blue"]),
        (selector, &["red"]),
        (json!({"from": "None"}), &[]),
    ] {
        let mut world = World::new();
        let allowed = json!({"allowedRoutes": {"namespaces": namespaces}});
        world.gateway("gw", [with(tls("s", 443, None), allowed)]);
        for (second, namespace) in (1..).zip(["default", "red", "blue"]) {
            let name = format!("{namespace}/r");
            world.tls_route(&name, second, to("gw"), &["a.test"], backends(&[]));
        }
        let outcome = world.outcome();
        for namespace in ["default", "red", "blue"] {
            let expected = match admitted.contains(&namespace) {
                true => "True Accepted",
                false => "False NotAllowedByListeners",
            };
            let said = outcome.tls(&format!("{namespace}/r"), "Accepted");
            assert_eq!(said, expected, "{namespaces}: {namespace}");
        }
    }
}

#[test]
fn a_route_that_gets_no_name_is_told_and_one_that_gets_some_too() {
    let outcome = world(
        &[("any", None), ("a", Some("*.a.test"))],
        &[
            ("old", "", &["x.b.test"]),
            ("none", "any", &["x.b.test", "x.a.test"]),
            ("some", "any", &["x.b.test", "y.b.test"]),
        ],
    )
    .outcome();
    let parent = |name| &outcome.status("tlsroutes", name)["parents"][0];
    assert_eq!(
        said(parent("old"), "kube-lb.internal/Serving"),
        "True Serving"
    );
    assert_eq!(said(parent("none"), "Accepted"), "True Accepted");
    assert_eq!(
        said(parent("none"), "kube-lb.internal/Serving"),
        "False Superseded"
    );
    let text = message(parent("none"), "Accepted");
    assert!(
        text.contains("TLSRoute default/old has precedence for x.b.test"),
        "{text}"
    );
    assert!(
        text.contains("more specific host name has precedence for x.a.test"),
        "{text}"
    );
    assert_eq!(
        said(parent("some"), "kube-lb.internal/Serving"),
        "True Serving"
    );
    assert!(message(parent("some"), "Accepted").contains("for x.b.test"));
    assert_eq!(outcome.attached("gw", "any"), 3);
}

#[test]
fn a_port_without_any_route_refuses_at_once_and_does_not_wait_for_a_name() {
    let outcome = world(&[("s", Some("a.test"))], &[]).outcome();
    let refused = Some("refused (no route is attached to the listener)");
    assert_eq!(outcome.listens("192.0.2.1:443"), refused);
}

#[test]
fn names_that_no_client_may_send_get_nothing() {
    // They would be patterns of other names in the table of the proxy, or be refused by it with the whole port.
    let outcome = world(
        &[("s", None), ("wrong", Some("a.*"))],
        &[
            ("hostile", "s", &["", "a.*", ".test", "b..test", "*"]),
            ("some", "s", &["b..test", "x.test"]),
        ],
    )
    .outcome();
    assert_eq!(
        outcome.tls("hostile", "Accepted"),
        "False NoMatchingListenerHostname"
    );
    assert_eq!(outcome.tls("some", "Accepted"), "True Accepted");
    assert_eq!(
        outcome.listens("192.0.2.1:443"),
        Some("x.test -> default/some:443 of routes; other names are refused")
    );
    let status = outcome.status("gateways", "gw");
    let listeners = status["listeners"].as_array().unwrap();
    let wrong = listeners
        .iter()
        .find(|listener| listener["name"] == "wrong");
    assert_eq!(said(wrong.unwrap(), "Accepted"), "False Invalid");
}

#[test]
fn weights_and_refusals_are_those_of_tcp_routes() {
    let mut world = world(&[("s", None)], &[]);
    world.service("web", &[443]);
    world.tls_route(
        "r",
        1,
        to("gw"),
        &["a.test"],
        backends(&[("web", 443, 3), ("gone", 443, 1)]),
    );
    let outcome = world.outcome();
    assert_eq!(outcome.tls("r", "ResolvedRefs"), "False BackendNotFound");
    let routing = outcome.listens("192.0.2.1:443").unwrap();
    let expected = "a.test -> 3 x default/web:443 of routes, 1 x refused (Service default/gone does not exist)";
    assert!(routing.starts_with(expected), "{routing}");
}
