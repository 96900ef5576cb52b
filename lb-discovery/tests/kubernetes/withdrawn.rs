//! Backends that the API withdraws leave, and the status has the reason.

use lb_core::Snapshot;
use lb_discovery::Source;
use lb_discovery::kubernetes::{EndpointSlices, Pods};
use serde_json::{Value, json};

use crate::sources::{Api, run, shown, until, until_error};
use test_support::discovery::RunningDriver;
use test_support::kubernetes::Fault;
use test_support::kubernetes::objects::{
    daemon_set, endpoint, inner_service, node, pod, service, slice,
};

const ONE: &str = "10.0.0.1:8080";
const NODE: &str = "10.1.0.1:30080";

/// A Service that selects pods, and a slice that its controller maintains.
pub(crate) fn selecting() -> Value {
    let mut service = inner_service();
    service["spec"]["selector"] = json!({"app": "echo"});
    service
}

pub(crate) fn kept_up(name: &str, endpoints: &[Value]) -> Value {
    let mut slice = slice(name, endpoints);
    slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] =
        json!("endpointslice-controller.k8s.io");
    slice
}

pub(crate) fn one() -> [Value; 1] {
    [endpoint("10.0.0.1", "a")]
}

pub(crate) async fn started() -> (Api, RunningDriver) {
    started_with(|api| api.slices().port(80)).await
}

async fn started_with<D: Source>(source: impl FnOnce(&Api) -> D) -> (Api, RunningDriver) {
    let api = Api::start().await;
    api.server.put("services", selecting());
    api.server.put("endpointslices", kept_up("echo-a", &one()));
    let mut running = run(source(&api));
    until(&mut running, &[ONE]).await;
    (api, running)
}

async fn started_with_nodes() -> (Api, RunningDriver) {
    let api = Api::start().await;
    api.server.put("services", service("Cluster"));
    api.server.put("nodes", node("node-1", "10.1.0.1"));
    let mut running = run(api.node_port());
    until(&mut running, &[NODE]).await;
    (api, running)
}

/// The set becomes empty, the error of the status contains `reason`, and the source neither waits nor lists again before
/// `back` restores the set.
async fn empties(
    api: &Api,
    running: &mut RunningDriver,
    reason: &str,
    back: impl FnOnce(),
    was: &str,
) {
    until::<&str>(running, &[]).await;
    until_error(running, reason).await;
    let status = running.handle.status().sources.remove(0);
    assert_eq!(
        (status.backends, status.stale_for),
        (0, None),
        "believed, not stale"
    );
    let lists = api.server.lists("services");
    back();
    until(running, &[was]).await;
    assert_eq!(api.server.lists("services"), lists);
    assert!(running.handle.status().sources[0].last_error.is_none());
}

#[tokio::test]
async fn a_service_that_is_deleted_without_its_slices() {
    // By number, by name and as the only one: the Service is followed for every choice of the port.
    let sources: [fn(&Api) -> EndpointSlices; 3] = [
        |api| api.slices().port(80),
        |api| api.slices().port("echo"),
        Api::slices,
    ];
    for source in sources {
        let (api, mut running) = started_with(source).await;
        api.server.delete("services", "default", "echo");
        let back = || api.server.put("services", selecting());
        empties(&api, &mut running, "no such Service", back, ONE).await;
    }
}

#[tokio::test]
async fn a_service_that_becomes_an_external_name() {
    let (api, mut running) = started().await;
    let mut external = selecting();
    external["spec"]["type"] = json!("ExternalName");
    external["spec"]["externalName"] = json!("echo.example.com");
    api.server.put("services", external.clone());
    let back = || api.server.put("services", selecting());
    empties(
        &api,
        &mut running,
        "the Service's type is ExternalName",
        back,
        ONE,
    )
    .await;

    let (api, mut running) = started_with_nodes().await;
    api.server.put("services", external);
    let back = || api.server.put("services", service("Cluster"));
    empties(
        &api,
        &mut running,
        "the Service's type is ExternalName",
        back,
        NODE,
    )
    .await;
}

#[tokio::test]
async fn a_service_that_loses_its_selector() {
    let (api, mut running) = started().await;
    api.server.put("services", inner_service());
    let back = || api.server.put("services", selecting());
    let reason = "it is left over from a selector";
    empties(&api, &mut running, reason, back, ONE).await;
}

#[tokio::test]
async fn a_slice_that_loses_the_label_of_its_service() {
    let (api, mut running) = started().await;
    let mut strange = kept_up("echo-a", &one());
    strange["metadata"]["labels"] = json!({});
    api.server.put("endpointslices", strange);
    let back = || api.server.put("endpointslices", kept_up("echo-a", &one()));
    empties(
        &api,
        &mut running,
        "the Service has no EndpointSlice",
        back,
        ONE,
    )
    .await;
}

#[tokio::test]
async fn a_port_that_is_renamed() {
    let (api, mut running) = started_with(|api| api.slices().port("echo")).await;
    let mut renamed = selecting();
    renamed["spec"]["ports"][0]["name"] = json!("tcp");
    api.server.put("services", renamed.clone());
    let mut slice = kept_up("echo-a", &one());
    slice["ports"][0]["name"] = json!("tcp");
    api.server.put("endpointslices", slice);
    let back = || {
        api.server.put("services", selecting());
        api.server.put("endpointslices", kept_up("echo-a", &one()));
    };
    let reason = "the Service has no TCP port \"echo\", it has: 80 (\"tcp\")";
    empties(&api, &mut running, reason, back, ONE).await;

    // With the port chosen by its number, only the outdated slices lack it.
    let (api, mut running) = started().await;
    api.server.put("services", renamed);
    let back = || api.server.put("services", selecting());
    let reason = "no endpoint has a TCP port \"tcp\", they have: 8080 (\"echo\")";
    empties(&api, &mut running, reason, back, ONE).await;
}

#[tokio::test]
async fn a_port_that_is_no_longer_the_only_one() {
    let (api, mut running) = started_with(Api::slices).await;
    let mut two = selecting();
    let admin = json!({"name": "admin", "port": 81, "targetPort": 8081, "protocol": "TCP"});
    two["spec"]["ports"].as_array_mut().unwrap().push(admin);
    api.server.put("services", two);
    let back = || api.server.put("services", selecting());
    let reason = "say which port of the Service is meant, it has: 80 (\"echo\"), 81 (\"admin\")";
    empties(&api, &mut running, reason, back, ONE).await;
}

#[tokio::test]
async fn a_service_that_releases_its_node_port() {
    let (api, mut running) = started_with_nodes().await;
    api.server.put("services", inner_service());
    let back = || api.server.put("services", service("Cluster"));
    let reason = "the Service's type is ClusterIP: make it NodePort";
    empties(&api, &mut running, reason, back, NODE).await;
}

#[tokio::test]
async fn only_excluded_nodes() {
    let (api, mut running) = started_with_nodes().await;
    api.server.delete("nodes", "", "node-1");
    let back = || api.server.put("nodes", node("node-1", "10.1.0.1"));
    empties(
        &api,
        &mut running,
        "no node may have connections: 0 are listed",
        back,
        NODE,
    )
    .await;
    let mut v6 = service("Cluster");
    v6["spec"]["ipFamilies"] = json!(["IPv6"]);
    api.server.put("services", v6);
    let back = || api.server.put("services", service("Cluster"));
    empties(
        &api,
        &mut running,
        "no other has an address that may be used",
        back,
        NODE,
    )
    .await;
}

#[tokio::test]
async fn a_recreated_daemon_set() {
    let api = Api::start().await;
    api.server.put("daemonsets", daemon_set("echo"));
    let labelled = |name: &str, ip: &str, app: &str| {
        let mut pod = pod(name, "node-1", ip);
        pod["metadata"]["labels"]["app"] = json!(app);
        api.server.put("pods", pod);
    };
    labelled("echo-a", "10.1.0.1", "echo");
    labelled("echo-b", "10.1.0.2", "other");
    let source = Pods::try_daemon_set(api.cluster(), "default", "echo", 446).unwrap();
    let mut running = run(source);
    until(&mut running, &["10.1.0.1:446"]).await;
    api.server.delete("daemonsets", "default", "echo");
    until::<&str>(&mut running, &[]).await;
    until_error(&running, "it does not exist").await;
    let mut anew = daemon_set("echo");
    anew["spec"]["selector"]["matchLabels"]["app"] = json!("other");
    api.server.put("daemonsets", anew);
    until(&mut running, &["10.1.0.2:446"]).await;
}

#[tokio::test]
async fn pods_that_no_longer_offer_their_port() {
    let api = Api::start().await;
    api.server.put("pods", pod("echo-a", "node-1", "10.1.0.1"));
    let mut running = run(api.pods());
    until(&mut running, &["10.1.0.1:446"]).await;
    let mut inside = pod("echo-b", "node-1", "10.1.0.1");
    inside["spec"]["hostNetwork"] = json!(false);
    inside["spec"]["containers"][0]["ports"][0] = json!({"name": "echo", "containerPort": 446});
    api.server.put("pods", inside);
    api.server.delete("pods", "default", "echo-a");
    until::<&str>(&mut running, &[]).await;
    until_error(&running, "no pod offers port \"echo\" on its node").await;
    api.server.put("pods", pod("echo-a", "node-1", "10.1.0.1"));
    until(&mut running, &["10.1.0.1:446"]).await;
}

#[tokio::test]
async fn a_withdrawal_counts_at_the_start_as_well() {
    let api = Api::start().await;
    api.server.put("endpointslices", kept_up("echo-a", &one()));
    let mut running = run(api.slices());
    assert_eq!(running.next().await, Snapshot::default());
    until_error(&running, "left over from a selector").await;
    api.server.put("services", selecting());
    until(&mut running, &[ONE]).await;
}

#[tokio::test]
async fn a_withdrawn_set_is_not_kept_when_the_api_fails_next() {
    let (api, mut running) = started().await;
    api.server.delete("services", "default", "echo");
    until::<&str>(&mut running, &[]).await;
    api.server.fault(Fault::Status(500));
    until_error(&running, "500: set to fail").await;
    assert_eq!(running.handle.status().sources[0].backends, 0);
}

#[tokio::test]
async fn a_slice_that_is_replaced_empties_nothing() {
    let (api, mut running) = started().await;
    api.server.delete("endpointslices", "default", "echo-a");
    let two = [endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b")];
    api.server.put("endpointslices", kept_up("echo-b", &two));
    assert_eq!(shown(&running.next().await), [ONE, "10.0.0.2:8080"]);
    assert_eq!(running.handle.status().sources[0].failures, 0);
}
