//! Several routes on one listener.

use serde_json::json;

use super::outcome::*;
use super::routes::section;
use super::world::*;

#[test]
fn the_oldest_route_serves_all_are_accepted_and_the_others_are_told() {
    for (rule, names, winner) in [
        (
            "the oldest",
            [("default/b", 1), ("default/a", 2)],
            "default/b",
        ),
        (
            "of one age, by name",
            [("default/b", 1), ("default/a", 1)],
            "default/a",
        ),
        (
            "by namespace and name as one text",
            [("red-x/a", 1), ("red/a", 1)],
            "red-x/a",
        ),
    ] {
        let mut world = World::new();
        let all = json!({"allowedRoutes": {"namespaces": {"from": "All"}}});
        world.gateway("gw", [with(tcp("a", 80), all)]);
        for (name, second) in names {
            let namespace = name.split('/').next().unwrap();
            let service = format!("{namespace}/of-{}", name.rsplit('/').next().unwrap());
            world.service(&service, &[80]);
            world.tcp_route(name, second, to("gw"), backends(&[(&service, 80, 1)]));
        }
        let outcome = world.outcome();
        assert_eq!(outcome.attached("gw", "a"), 2, "{rule}");
        for (name, _) in names {
            assert_eq!(outcome.tcp(name, "Accepted"), "True Accepted", "{rule}");
            let parent = &outcome.status("tcproutes", name)["parents"][0];
            let serving = said(parent, "kube-lb.internal/Serving");
            if name == winner {
                assert_eq!(serving, "True Serving", "{rule}");
                let backend = name.replace('/', "/of-");
                let routing = outcome.listens("192.0.2.1:80").unwrap();
                assert!(routing.starts_with(&backend), "{rule}: {routing}");
            } else {
                assert_eq!(serving, "False Superseded", "{rule}");
                let text = message(parent, "Accepted");
                let told = format!("TCPRoute {winner} has precedence");
                assert!(text.contains(&told), "{rule}: {text}");
            }
        }
    }
}

#[test]
fn a_route_that_is_superseded_on_one_listener_serves_another() {
    let mut world = World::new();
    world.gateway("gw", [tcp("a", 80), tcp("b", 81)]);
    world.service("old", &[1]).service("new", &[1]);
    world.tcp_route(
        "old",
        1,
        section("gw", Some("a"), None),
        backends(&[("old", 1, 1)]),
    );
    world.tcp_route("new", 2, to("gw"), backends(&[("new", 1, 1)]));
    let outcome = world.outcome();
    assert_eq!(
        outcome.tcp("new", "kube-lb.internal/Serving"),
        "True Serving"
    );
    let text = message(
        &outcome.status("tcproutes", "new")["parents"][0],
        "Accepted",
    );
    assert_eq!(
        text,
        "on the listener a TCPRoute default/old has precedence"
    );
    assert!(
        outcome
            .listens("192.0.2.1:80")
            .unwrap()
            .starts_with("default/old")
    );
    assert!(
        outcome
            .listens("192.0.2.1:81")
            .unwrap()
            .starts_with("default/new")
    );
}
