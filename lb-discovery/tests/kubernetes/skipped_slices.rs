//! Slices that the API server accepts and that the sources skip.

use lb_core::AdminState;
use serde_json::{Value, json};

use crate::sources::{Api, run, shown, until, until_error};
use crate::withdrawn::{kept_up, one, started};
use test_support::kubernetes::objects::{endpoint, node, service, slice};

const ONE: &str = "10.0.0.1:8080";

#[tokio::test]
async fn slices_without_a_port_or_an_address_are_skipped() {
    let (api, mut running) = started().await;
    let odd = |name: &str, number: Value, kind: &str, address: &str| {
        let mut slice = slice(name, &[endpoint(address, name)]);
        slice["addressType"] = json!(kind);
        slice["ports"][0]["port"] = number;
        api.server.put("endpointslices", slice);
    };
    odd("odd-1", json!(null), "IPv4", "10.0.9.1");
    odd("odd-2", json!(0), "IPv4", "10.0.9.2");
    odd("odd-3", json!(70000), "IPv4", "10.0.9.3");
    odd("odd-4", json!(8080), "FQDN", "echo.example.com");
    let two = [endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b")];
    api.server.put("endpointslices", kept_up("echo-a", &two));
    assert_eq!(shown(&running.next().await), [ONE, "10.0.0.2:8080"]);

    // The slices do not have the Service's own port.
    api.server.delete("endpointslices", "default", "echo-a");
    until::<&str>(&mut running, &[]).await;
    until_error(&running, "every EndpointSlice is skipped").await;
}

#[tokio::test]
async fn skipped_slices_do_not_count_for_the_weights_of_nodes() {
    let api = Api::start().await;
    let mut local = service("Local");
    local["spec"]["selector"] = json!({"app": "echo"});
    api.server.put("services", local);
    api.server.put("nodes", node("node-1", "10.1.0.1"));
    api.server.put("endpointslices", kept_up("echo-a", &one()));
    let mut without = slice("echo-b", &[endpoint("10.0.0.2", "b")]);
    without["ports"][0]["port"] = json!(null);
    api.server.put("endpointslices", without);
    let set = run(api.node_port()).next().await;
    assert_eq!(shown(&set), ["10.1.0.1:30080"]);
    assert!(set.iter().all(|backend| backend.admin == AdminState::Ready));
}
