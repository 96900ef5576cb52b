//! Failures of the API server remove no backend.

use std::time::{Duration, Instant};

use lb_discovery::kubernetes::{EndpointSlices, Pods};
use serde_json::Value;

use crate::sources::{Api, run, shown, until, until_error};
use test_support::deadline::eventually;
use test_support::discovery::RunningDriver;
use test_support::kubernetes::Fault;
use test_support::kubernetes::objects::{endpoint, node, pod, slice};

const ONE: &str = "10.0.0.1:8080";
const TWO: &str = "10.0.0.2:8080";

fn one() -> Value {
    slice("echo-a", &[endpoint("10.0.0.1", "a")])
}

pub(crate) fn two() -> Value {
    slice(
        "echo-a",
        &[endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b")],
    )
}

/// A server with one endpoint, and a driver that has it.
pub(crate) async fn started() -> (Api, RunningDriver) {
    started_with(Api::slices).await
}

async fn started_with(source: impl FnOnce(&Api) -> EndpointSlices) -> (Api, RunningDriver) {
    let api = Api::start().await;
    api.server.put("endpointslices", one());
    let mut running = run(source(&api));
    until(&mut running, &[ONE]).await;
    eventually("the watch", || api.server.watches("endpointslices") == 1).await;
    (api, running)
}

/// With the fault, the status has `error` and the set stays; without it, a change is followed again.
pub(crate) async fn survives(fault: Fault, error: &str) {
    let (api, mut running) = started_with(Api::hasty).await;
    api.server.fault(fault);
    until_error(&running, error).await;
    assert_eq!(running.handle.status().sources[0].backends, 1);
    assert!(running.handle.status().sources[0].stale_for.is_some());
    api.server.put("endpointslices", two());
    api.server.fault(Fault::None);
    // The very next publication: nothing was published in between.
    assert_eq!(shown(&running.next().await), [ONE, TWO]);
    assert!(running.handle.status().sources[0].last_error.is_none());
}

#[tokio::test]
async fn server_error() {
    survives(Fault::Status(500), "500: set to fail").await;
}

#[tokio::test]
async fn too_many_requests() {
    survives(Fault::Status(429), "429: set to fail").await;
}

#[tokio::test]
async fn unauthorized() {
    survives(
        Fault::Status(401),
        "401 Unauthorized: set to fail; the token or certificate",
    )
    .await;
}

#[tokio::test]
async fn forbidden() {
    survives(
        Fault::Status(403),
        "403 Forbidden: set to fail; grant list and watch",
    )
    .await;
}

#[tokio::test]
async fn not_the_api() {
    survives(
        Fault::Status(404),
        "is this the API of a Kubernetes cluster?",
    )
    .await;
}

#[tokio::test]
async fn garbage() {
    survives(Fault::Garbage, "the answer is").await;
}

#[tokio::test]
async fn frozen() {
    survives(
        Fault::Frozen,
        "the API server did not answer the list within 2s",
    )
    .await;
}

#[tokio::test]
async fn garbage_events() {
    survives(
        Fault::GarbageEvents,
        "the answer is not one of a Kubernetes API",
    )
    .await;
}

#[tokio::test]
async fn slow_lists() {
    let (api, mut running) = started_with(Api::hasty).await;
    api.server.compact();
    api.server.fault(Fault::Slow);
    until_error(&running, "did not answer the list within 2s").await;
    api.server.put("endpointslices", two());
    api.server.fault(Fault::None);
    assert_eq!(shown(&running.next().await), [ONE, TWO]);
}

#[tokio::test]
async fn killed_and_restarted() {
    let (mut api, mut running) = started().await;
    api.server.kill().await;
    until_error(&running, "cannot be reached: Connection refused").await;
    api.server.put("endpointslices", two());
    api.server.compact();
    api.server.restart().await;
    assert_eq!(shown(&running.next().await), [ONE, TWO]);
}

#[tokio::test]
async fn down_at_the_start() {
    let mut api = Api::start().await;
    api.server.put("endpointslices", one());
    api.server.kill().await;
    let mut running = run(api.slices());
    until_error(&running, "cannot be reached").await;
    api.server.restart().await;
    until(&mut running, &[ONE]).await;
}

#[tokio::test]
async fn watches_that_end_are_resumed_without_a_list() {
    let (api, mut running) = started().await;
    for _ in 0..2 {
        let watches = api.server.watches("endpointslices");
        api.server.end_watches();
        eventually("the watch", || {
            api.server.watches("endpointslices") > watches
        })
        .await;
    }
    api.server.put("endpointslices", two());
    until(&mut running, &[ONE, TWO]).await;
    assert_eq!(api.server.lists("endpointslices"), 1);
}

#[tokio::test]
async fn a_watch_that_is_cut_is_resumed_without_a_list() {
    let (api, mut running) = started().await;
    api.server.fault(Fault::CutWatch);
    api.server.put("endpointslices", two());
    until(&mut running, &[ONE, TWO]).await;
    assert_eq!(api.server.lists("endpointslices"), 1);
    assert_eq!(running.handle.status().sources[0].failures, 0);
}

#[tokio::test]
async fn watches_that_end_at_once_do_not_spin() {
    let (api, mut running) = started().await;
    api.server.fault(Fault::EndWatches);
    let (before, begin) = (api.server.watches("endpointslices"), Instant::now());
    assert!(running.quiet_for(Duration::from_secs(3)).await);
    let opened = (api.server.watches("endpointslices") - before) as u64;
    assert!(
        opened <= begin.elapsed().as_secs() + 2,
        "{opened}, not one a second"
    );
}

#[tokio::test]
async fn gone_is_answered_by_a_list_without_a_gap() {
    for fault in [Fault::Gone, Fault::GoneEvent] {
        let (api, mut running) = started().await;
        api.server.fault(fault);
        eventually("the list", || api.server.lists("endpointslices") >= 2).await;
        api.server.put("endpointslices", two());
        api.server.fault(Fault::None);
        assert_eq!(shown(&running.next().await), [ONE, TWO], "{fault:?}");
        assert_eq!(running.handle.status().sources[0].failures, 0, "{fault:?}");
    }
}

#[tokio::test]
async fn gone_for_good_does_not_spin() {
    let (api, mut running) = started().await;
    api.server.fault(Fault::Gone);
    let (before, begin) = (api.server.watches("endpointslices"), Instant::now());
    assert!(running.quiet_for(Duration::from_secs(3)).await);
    let opened = (api.server.watches("endpointslices") - before) as u64;
    assert!(
        opened <= begin.elapsed().as_secs() + 2,
        "{opened}, not one a second"
    );
    assert!(
        api.server.lists("endpointslices") <= api.server.watches("endpointslices") + 1,
        "one list for each refusal"
    );
}

#[tokio::test]
async fn bookmarks_keep_a_quiet_watch_resumable() {
    let api = Api::start().await;
    api.server.bookmark_every(Duration::from_millis(50));
    api.server.put("endpointslices", one());
    let cluster = api.cluster().watch_timeout(Duration::from_secs(3));
    let mut running = run(EndpointSlices::try_new(cluster, "default", "echo").unwrap());
    until(&mut running, &[ONE]).await;
    eventually("the watch", || api.server.watches("endpointslices") == 1).await;
    // An unrelated object, then the server drops all versions before it.
    api.server.put("nodes", node("node-1", "10.1.0.1"));
    api.server.compact();
    let marked = || {
        let requests = api.server.requests();
        requests
            .iter()
            .any(|r| r.is_watch() && r.query.contains("resourceVersion=4"))
    };
    eventually("the bookmark", marked).await;
    assert_eq!(api.server.lists("endpointslices"), 1);
}

#[tokio::test]
async fn an_empty_list_is_accepted_only_after_a_while() {
    let (api, mut running) = started().await;
    api.server.compact();
    api.server.fault(Fault::EmptyLists);
    until_error(&running, "the list is empty, but had 1 before").await;
    assert_eq!(running.handle.status().sources[0].backends, 1);
    api.server.put("endpointslices", two());
    api.server.fault(Fault::None);
    assert_eq!(shown(&running.next().await), [ONE, TWO]);

    api.server.compact();
    api.server.fault(Fault::EmptyLists);
    until::<&str>(&mut running, &[]).await;
    until_error(&running, "no such Service").await;
}

#[tokio::test]
async fn a_list_of_no_pods_that_stays_empty_empties_the_set() {
    let api = Api::start().await;
    api.server.put("pods", pod("echo-a", "node-1", "10.1.0.1"));
    let mut running = run(api.pods());
    until(&mut running, &["10.1.0.1:446"]).await;
    api.server.compact();
    api.server.fault(Fault::EmptyLists);
    until_error(&running, "the list is empty, but had 1 before").await;
    until::<&str>(&mut running, &[]).await;
    assert!(running.handle.status().sources[0].last_error.is_none());
}

#[tokio::test]
async fn a_burst_is_one_set() {
    let (api, mut running) = started().await;
    for number in 0..200 {
        let ip = format!("10.0.1.{number}");
        api.server
            .put("endpointslices", slice("echo-b", &[endpoint(&ip, &ip)]));
    }
    until(&mut running, &[ONE, "10.0.1.199:8080"]).await;
    // The first list, the burst, and whatever of it a slow machine saw later: not one set an event.
    let sets = running.handle.status().sources[0].updates;
    assert!(sets <= 12, "{sets} sets for 200 changes");
}

#[tokio::test]
async fn a_resource_that_is_not_granted_is_named() {
    let api = Api::start().await;
    api.server.forbid("pods");
    let source = Pods::try_selected(api.cluster(), "default", "app=echo", 446).unwrap();
    let running = run(source);
    until_error(
        &running,
        "watching pods of default/app=echo at http://127.0.0.1:",
    )
    .await;
    until_error(
        &running,
        "403 Forbidden: pods is forbidden: User \"system:serviceaccount:",
    )
    .await;
}

#[tokio::test]
async fn a_selector_that_the_server_does_not_understand() {
    let api = Api::start().await;
    let source = Pods::try_selected(api.cluster(), "default", "app=((", 446).unwrap();
    let running = run(source);
    until_error(
        &running,
        "400 Bad Request: unable to parse requirement: found '(('",
    )
    .await;
}
