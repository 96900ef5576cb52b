//! The pods of a Service.

use lb_discovery::kubernetes::{EndpointSlices, Families};
use serde_json::{Value, json};

use super::anywhere;
use crate::place::Place;
use crate::sources::{run, shown, until, until_error};
use test_support::kubernetes::objects::{endpoint, inner_service, slice, with_condition};

anywhere! {
    slices_are_joined_and_followed
    what_is_not_said_of_an_endpoint_is_good
    without_a_ready_endpoint_those_that_end_but_serve_are_used
    of_two_families_one_is_used
    pages_are_put_together
    a_port_by_number_is_the_services
    a_port_that_is_not_there_is_named_with_those_that_are
    a_service_is_scaled_to_nothing_and_back
    a_service_that_does_not_exist_is_not_found_and_then_found
}

async fn put(place: &Place, name: &str, endpoints: &[Value]) {
    place.put("endpointslices", slice(name, endpoints)).await;
}

async fn slices_are_joined_and_followed(place: &Place) {
    put(
        place,
        "echo-a",
        &[endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b")],
    )
    .await;
    // The second slice has an endpoint of the first as well.
    put(
        place,
        "echo-b",
        &[endpoint("10.0.0.3", "c"), endpoint("10.0.0.2", "b")],
    )
    .await;
    let mut running = place.follow_slices();
    let set = running.next().await;
    assert_eq!(
        shown(&set),
        ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"]
    );
    let first = set.iter().next().unwrap();
    assert_eq!(first.name.as_deref(), Some("a"));
    assert_eq!(first.instance.as_deref(), Some("uid-a"));
    assert_eq!(first.node.as_deref(), Some("node-1"));
    assert_eq!(first.zone.as_deref(), Some("zone-a"));
    let source = format!("kubernetes:{}/echo@", place.namespace());
    assert!(first.source.as_ref().unwrap().starts_with(&source));

    let ending = with_condition(endpoint("10.0.0.1", "a"), false, true, true);
    put(place, "echo-a", &[ending]).await;
    until(
        &mut running,
        &["10.0.0.1:8080 (drain)", "10.0.0.2:8080", "10.0.0.3:8080"],
    )
    .await;
    place.delete("endpointslices", "echo-a").await;
    until(&mut running, &["10.0.0.2:8080", "10.0.0.3:8080"]).await;
    if let Place::Ours(api) = place {
        assert_eq!(
            api.server.lists("endpointslices"),
            1,
            "changes are watched, not listed"
        );
    }
}

async fn what_is_not_said_of_an_endpoint_is_good(place: &Place) {
    let mut silent = endpoint("10.0.0.1", "a");
    silent["conditions"] = json!({});
    let mut ready = endpoint("10.0.0.2", "b");
    ready["conditions"] = json!({"ready": true});
    let mut starting = endpoint("10.0.0.3", "c");
    starting["conditions"] = json!({"ready": false});
    put(place, "echo-a", &[silent, ready, starting]).await;
    let mut running = place.follow_slices();
    until(&mut running, &["10.0.0.1:8080", "10.0.0.2:8080"]).await;
}

async fn without_a_ready_endpoint_those_that_end_but_serve_are_used(place: &Place) {
    let serving = with_condition(endpoint("10.0.0.1", "a"), false, true, true);
    let ended = with_condition(endpoint("10.0.0.2", "b"), false, false, true);
    put(place, "echo-a", &[serving.clone(), ended.clone()]).await;
    let mut running = place.follow_slices();
    until(&mut running, &["10.0.0.1:8080", "10.0.0.2:8080 (drain)"]).await;
    put(
        place,
        "echo-a",
        &[serving, ended, endpoint("10.0.0.3", "c")],
    )
    .await;
    let with_a_ready_one = [
        "10.0.0.1:8080 (drain)",
        "10.0.0.2:8080 (drain)",
        "10.0.0.3:8080",
    ];
    until(&mut running, &with_a_ready_one).await;
}

async fn of_two_families_one_is_used(place: &Place) {
    put(place, "echo-a", &[endpoint("10.0.0.1", "a")]).await;
    put(place, "echo-b", &[endpoint("fd00::1", "a")]).await;
    let mut running = place.follow_slices();
    until(&mut running, &["10.0.0.1:8080"]).await;
    let mut running = run(place.slices().families(Families::PreferIpv6));
    until(&mut running, &["[fd00::1]:8080"]).await;
    place.delete("endpointslices", "echo-b").await;
    until(&mut running, &["10.0.0.1:8080"]).await;
}

async fn pages_are_put_together(place: &Place) {
    for number in 1..=5 {
        let ip = format!("10.0.0.{number}");
        put(place, &format!("echo-{number}"), &[endpoint(&ip, &ip)]).await;
    }
    let cluster = place.cluster().page_size(2);
    let source = EndpointSlices::try_new(cluster, place.namespace(), "echo").unwrap();
    assert_eq!(run(source).next().await.len(), 5);
    if let Place::Ours(api) = place {
        assert_eq!(api.server.lists("endpointslices"), 3);
    }
}

async fn a_port_by_number_is_the_services(place: &Place) {
    put(place, "echo-a", &[endpoint("10.0.0.1", "a")]).await;
    let mut running = run(place.slices().port(80));
    until(&mut running, &["10.0.0.1:8080"]).await;
}

async fn a_port_that_is_not_there_is_named_with_those_that_are(place: &Place) {
    put(place, "echo-a", &[endpoint("10.0.0.1", "a")]).await;
    let running = run(place.slices().port("http"));
    let problem = "the Service has no TCP port \"http\", it has: 80 (\"echo\")";
    until_error(&running, problem).await;
}

async fn a_service_is_scaled_to_nothing_and_back(place: &Place) {
    put(place, "echo-a", &[endpoint("10.0.0.1", "a")]).await;
    let mut running = place.follow_slices();
    until(&mut running, &["10.0.0.1:8080"]).await;
    put(place, "echo-a", &[]).await;
    until::<&str>(&mut running, &[]).await;
    put(place, "echo-a", &[endpoint("10.0.0.9", "z")]).await;
    until(&mut running, &["10.0.0.9:8080"]).await;
    assert_eq!(running.handle.status().sources[0].failures, 0);
}

async fn a_service_that_does_not_exist_is_not_found_and_then_found(place: &Place) {
    place.delete("services", "echo").await;
    put(place, "echo-a", &[endpoint("10.0.0.1", "a")]).await;
    let mut running = place.follow_slices();
    let missing = format!(
        "watching endpointslices of {}/echo at http",
        place.namespace()
    );
    until_error(&running, &missing).await;
    until_error(&running, ": no such Service").await;
    place.put("services", inner_service()).await;
    until(&mut running, &["10.0.0.1:8080"]).await;
}
