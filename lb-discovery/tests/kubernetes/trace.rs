//! A rolling update, event by event as an API server sends it.

use std::time::Duration;

use lb_core::AdminState;
use serde_json::{Value, json};

use crate::sources::{Api, run, shown, until};
use test_support::kubernetes::objects::inner_service;

const TRACE: &str = include_str!("traces/rolling_update.json");

#[tokio::test]
async fn a_rolling_update_always_has_three_backends_and_drains_what_goes() {
    let trace: Value = serde_json::from_str(TRACE).unwrap();
    let api = Api::start().await;
    api.server.bookmark_every(Duration::from_millis(20));
    for object in trace["list"]["items"].as_array().unwrap() {
        api.server.put("endpointslices", object.clone());
    }
    let mut service = inner_service();
    service["spec"]["selector"] = json!({"app": "echo"});
    service["spec"]["ports"][0]["name"] = trace["list"]["items"][0]["ports"][0]["name"].clone();
    api.server.put("services", service);
    let mut running = run(api.slices());
    let before = ["10.244.1.17:8080", "10.244.2.9:8080", "10.244.3.22:8080"];
    until(&mut running, &before).await;
    let mut has_drained = Vec::new();
    for event in trace["events"].as_array().unwrap() {
        if event["type"] == "BOOKMARK" {
            continue; // the server sends its own
        }
        api.server.put("endpointslices", event["object"].clone());
        let changes = changes_the_set(&event["object"]);
        if changes {
            let set = running.next().await;
            let ready = set.iter().filter(|b| b.admin == AdminState::Ready);
            assert!(ready.count() >= 3, "{:?}", shown(&set));
            let drains = set.iter().filter(|b| b.admin == AdminState::Drain);
            has_drained.extend(drains.map(|b| b.addr.to_string()));
        }
    }
    let after = ["10.244.1.18:8080", "10.244.2.10:8080", "10.244.3.23:8080"];
    let sources = running.handle.status().sources;
    assert_eq!((sources[0].backends, sources[0].failures), (3, 0));
    has_drained.sort();
    has_drained.dedup();
    assert_eq!(has_drained, before, "every pod drained before it went");
    let mut fresh = run(api.slices());
    assert_eq!(shown(&fresh.next().await), after);
    assert_eq!(api.server.lists("endpointslices"), 2, "one for each driver");
}

/// Whether an event makes another set: a pod that gets an address without being ready does not, nor does one that
/// drains and then fails its probe.
fn changes_the_set(slice: &Value) -> bool {
    let endpoints = slice["endpoints"].as_array().unwrap();
    let is = |endpoint: &Value, condition: &str| endpoint["conditions"][condition] == true;
    let starting = |e: &&Value| !is(e, "ready") && !is(e, "terminating");
    let dead = |e: &&Value| is(e, "terminating") && !is(e, "serving");
    endpoints.iter().filter(starting).count() + endpoints.iter().filter(dead).count() == 0
}
