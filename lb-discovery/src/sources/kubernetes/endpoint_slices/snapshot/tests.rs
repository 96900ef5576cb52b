use serde_json::{Value, from_value, json};

use super::*;
use crate::sources::kubernetes::objects::projection::Projection;
use lb_core::{AdminState, Backend};

fn slice(family: &str, ports: Value, endpoints: Value) -> Slice {
    Slice::of(
        from_value(json!({
            "metadata": {"name": "a"},
            "addressType": family,
            "ports": ports,
            "endpoints": endpoints,
        }))
        .unwrap(),
    )
}

fn http() -> Value {
    json!([{"name": "http", "port": 80}])
}

fn with(conditions: Value) -> Value {
    json!({"addresses": ["10.0.0.1"], "conditions": conditions})
}

/// A Service with slices that are made by hand, or by a controller from the pods that it selects.
fn service(selector: Value) -> Service {
    let spec = json!({"selector": selector, "ports": [{"name": "http", "port": 90}]});
    Service::of(from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap())
}

fn map(slices: &[Slice], port: &str, families: Families) -> Result<Vec<String>, String> {
    let snapshot = snapshot(slices.iter(), &service(json!(null)), port, families)?;
    let backends = snapshot.iter().map(|b| match b.admin {
        AdminState::Ready => b.addr.to_string(),
        _ => format!("{} drains", b.addr),
    });
    Ok(backends.collect())
}

fn endpoints(endpoints: Value) -> Vec<String> {
    let slices = [slice("IPv4", http(), endpoints)];
    map(&slices, "http", Families::default()).unwrap()
}

#[test]
fn missing_conditions_have_the_defaults_of_the_api() {
    let ready = ["10.0.0.1:80"];
    let none: [&str; 0] = [];
    assert_eq!(endpoints(json!([{"addresses": ["10.0.0.1"]}])), ready);
    assert_eq!(endpoints(json!([with(json!({}))])), ready);
    assert_eq!(endpoints(json!([with(json!({"ready": null}))])), ready);
    assert_eq!(endpoints(json!([with(json!({"ready": false}))])), none);
    // Serving defaults to true, so a terminating endpoint serves if there is no better one.
    let ending = json!({"ready": false, "terminating": true});
    assert_eq!(endpoints(json!([with(ending)])), ready);
    let gone = json!({"ready": false, "serving": false, "terminating": true});
    assert_eq!(endpoints(json!([with(gone)])), ["10.0.0.1:80 drains"]);
    // publishNotReadyAddresses: as kube-proxy, ready is ready.
    assert_eq!(
        endpoints(json!([with(json!({"ready": true, "terminating": true}))])),
        ready
    );
}

#[test]
fn terminating_endpoints_serve_only_if_none_is_ready() {
    let ending = json!({"ready": false, "serving": true, "terminating": true});
    let other = json!({"addresses": ["10.0.0.2"]});
    let both = json!([with(ending.clone()), other]);
    assert_eq!(endpoints(both), ["10.0.0.1:80 drains", "10.0.0.2:80"]);
    let unready = json!({"addresses": ["10.0.0.2"], "conditions": {"ready": false}});
    assert_eq!(endpoints(json!([with(ending), unready])), ["10.0.0.1:80"]);
}

#[test]
fn only_the_first_address_counts_and_invalid_ones_are_left_out() {
    let odd =
        json!([{"addresses": ["10.0.0.2", "10.0.0.3"]}, {"addresses": []}, {"addresses": ["x"]}]);
    assert_eq!(endpoints(odd), ["10.0.0.2:80"]);
}

#[test]
fn an_endpoint_in_two_slices_counts_once_in_its_best_condition() {
    let ready = json!([{"addresses": ["10.0.0.1"]}]);
    let ending = json!([with(json!({"ready": false, "terminating": true}))]);
    for slices in [[&ready, &ending], [&ending, &ready]] {
        let slices = slices.map(|endpoints| slice("IPv4", http(), endpoints.clone()));
        let set = map(&slices, "http", Families::default());
        assert_eq!(set.unwrap(), ["10.0.0.1:80"]);
    }
}

#[test]
fn one_family_is_used() {
    let slices = [
        slice("IPv4", http(), json!([{"addresses": ["10.0.0.1"]}])),
        slice("IPv6", http(), json!([{"addresses": ["fd00::1"]}])),
        slice("FQDN", http(), json!([{"addresses": ["a.test"]}])),
    ];
    let (v4, v6) = (["10.0.0.1:80"], ["[fd00::1]:80"]);
    let of = |slices: &[Slice], families| map(slices, "http", families);
    assert_eq!(of(&slices, Families::PreferIpv4).unwrap(), v4);
    assert_eq!(of(&slices, Families::PreferIpv6).unwrap(), v6);
    assert_eq!(of(&slices[1..], Families::PreferIpv4).unwrap(), v6);
    assert_eq!(of(&slices[..1], Families::PreferIpv6).unwrap(), v4);
    assert_eq!(of(&slices[..1], Families::Ipv4).unwrap(), v4);
    assert!(of(&slices[..1], Families::Ipv6).is_err());
}

#[test]
fn ports_are_found_by_name_and_are_each_slices_own() {
    let two = json!([{"name": "http", "port": 80}, {"name": "admin", "port": 81}]);
    let slices = [
        slice("IPv4", two, json!([{"addresses": ["10.0.0.1"]}])),
        slice(
            "IPv4",
            json!([{"name": "http", "port": 8080}]),
            json!([{"addresses": ["10.0.0.2"]}]),
        ),
        slice(
            "IPv4",
            json!([{"name": "http", "port": 53, "protocol": "UDP"}]),
            json!([{"addresses": ["10.0.0.3"]}]),
        ),
        slice(
            "IPv4",
            json!([{"name": "http"}]),
            json!([{"addresses": ["10.0.0.4"]}]),
        ),
    ];
    let of = |port| map(&slices, port, Families::default());
    let http = ["10.0.0.1:80", "10.0.0.2:8080"];
    assert_eq!(of("http").unwrap(), http);
    assert_eq!(of("admin").unwrap(), ["10.0.0.1:81"]);
    let has = "81 (\"admin\"), no number (\"http\"), 80 (\"http\"), 8080 (\"http\")";
    assert_eq!(
        of("grpc").unwrap_err(),
        format!("no endpoint has a TCP port \"grpc\", they have: {has}")
    );
}

#[test]
fn a_slice_without_endpoints_is_no_error() {
    let slices = [slice("IPv4", json!([]), json!(null))];
    let set = map(&slices, "http", Families::default());
    assert!(set.unwrap().is_empty());
    // Beside a slice with endpoints it changes nothing.
    let one = json!([{"addresses": ["10.0.0.1"]}]);
    let slices = [
        slice("IPv4", json!([]), json!([])),
        slice("IPv4", http(), one),
    ];
    let set = map(&slices, "http", Families::default());
    assert_eq!(set.unwrap(), ["10.0.0.1:80"]);
}

#[test]
fn the_absence_of_slices_is_reported() {
    let none = || [].iter();
    let by_hand = snapshot(none(), &service(json!(null)), "http", Families::default());
    assert!(
        by_hand
            .unwrap_err()
            .contains("no selector, and no EndpointSlice")
    );
    let selecting = service(json!({"app": "a"}));
    let selected = snapshot(none(), &selecting, "http", Families::default());
    assert_eq!(selected.unwrap_err(), "the Service has no EndpointSlice");
}

#[test]
fn slices_that_kube_proxy_skips_are_skipped() {
    let one = || json!([{"addresses": ["10.0.0.1"]}]);
    let numbered = |number: Value| json!([{"name": "http", "port": number}]);
    let by_hand = service(json!(null));
    let good = slice("IPv4", http(), json!([{"addresses": ["10.0.0.9"]}]));
    for (bad, reason) in [
        (
            slice("FQDN", http(), json!([{"addresses": ["a.test"]}])),
            "its addresses are names",
        ),
        (
            slice("IPv4", numbered(json!(null)), one()),
            "its port \"http\" has no number",
        ),
        (
            slice("IPv4", numbered(json!(0)), one()),
            "its port \"http\" has the number 0,",
        ),
        (
            slice("IPv4", numbered(json!(70000)), one()),
            "has the number 70000, which is no TCP port",
        ),
        (
            slice("IPv4", http(), json!([{"addresses": ["a.test"]}])),
            "has an IP address",
        ),
    ] {
        let text = bad.skip_reason(&by_hand, "http").unwrap();
        assert!(text.contains(reason), "{text}");
        let alone = map(std::slice::from_ref(&bad), "http", Families::default());
        let alone = alone.unwrap_err();
        assert!(
            alone.contains("every EndpointSlice is skipped") && alone.contains(reason),
            "{alone}"
        );
        let both = map(&[bad, good.clone()], "http", Families::default());
        assert_eq!(both.unwrap(), ["10.0.0.9:80"]);
    }
    assert_eq!(good.skip_reason(&by_hand, "http"), None);
    assert_eq!(
        good.skip_reason(&by_hand, "grpc"),
        None,
        "it may belong to another port"
    );
}

#[test]
fn slices_of_a_removed_selector_are_skipped() {
    let labelled = |labels: Value| {
        let object = json!({
            "metadata": {"name": "a", "labels": labels}, "addressType": "IPv4",
            "ports": http(), "endpoints": [{"addresses": ["10.0.0.1"]}],
        });
        Slice::of(from_value(object).unwrap())
    };
    let selected = labelled(
        json!({"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}),
    );
    let mirrored = labelled(json!({
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
        "endpoints.kubernetes.io/managed-by": "endpoint-controller",
    }));
    let by_hand = labelled(json!({
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }));
    for left in [selected, mirrored] {
        let text = left.skip_reason(&service(json!({})), "http").unwrap();
        assert!(text.contains("it is left over from a selector"), "{text}");
        assert_eq!(
            left.skip_reason(&service(json!({"app": "a"})), "http"),
            None
        );
    }
    assert_eq!(by_hand.skip_reason(&service(json!(null)), "http"), None);
}

#[test]
fn zones_hints_node_and_pod_are_kept() {
    let endpoint = json!([{
        "addresses": ["10.0.0.1"], "nodeName": "n", "zone": "a",
        "hints": {"forZones": [{"name": "a"}, {"name": "b"}]},
        "targetRef": {"kind": "Pod", "name": "p", "uid": "u"},
    }]);
    let slices = [slice("IPv4", http(), endpoint)];
    let service = service(json!(null));
    let set = snapshot(slices.iter(), &service, "http", Families::default()).unwrap();
    let wanted = Backend::new("10.0.0.1:80".parse().unwrap())
        .name("p")
        .instance("u")
        .node("n")
        .zone("a")
        .for_zones(["a".into(), "b".into()]);
    assert_eq!(set.iter().collect::<Vec<_>>(), [&wanted]);
}
