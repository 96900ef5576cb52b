use serde_json::{Value, from_value, json};

use super::*;
use crate::sources::kubernetes::objects::projection::Projection;
use lb_core::AdminState;

fn pod(spec: Value, status: Value) -> Value {
    json!({"metadata": {"name": "a", "uid": "u"}, "spec": spec, "status": status})
}

fn ready(host_ip: &str) -> Value {
    json!({"hostIP": host_ip, "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
}

fn in_host_network(ports: Value) -> Value {
    json!({"hostNetwork": true, "nodeName": "n", "containers": [{"name": "c", "ports": ports}]})
}

fn map(pods: &[Value], port: impl Into<Port>) -> Result<Vec<String>, String> {
    let pods: Vec<Pod> = pods
        .iter()
        .map(|p| Pod::of(from_value(p.clone()).unwrap()))
        .collect();
    let snapshot = snapshot(pods.iter(), &port.into(), Families::default())?;
    let backends = snapshot.iter().map(|b| match b.admin {
        AdminState::Ready => b.addr.to_string(),
        _ => format!("{} drains", b.addr),
    });
    Ok(backends.collect())
}

#[test]
fn ports_in_the_network_of_the_node() {
    let spec = in_host_network(json!([
        {"name": "echo", "containerPort": 446},
        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
    ]));
    let pods = [pod(spec, ready("10.1.0.1"))];
    assert_eq!(map(&pods, "echo").unwrap(), ["10.1.0.1:446"]);
    assert_eq!(map(&pods, 446).unwrap(), ["10.1.0.1:446"]);
    assert_eq!(
        map(&pods, 447).unwrap(),
        ["10.1.0.1:447"],
        "need not be declared"
    );
    assert_eq!(
        map(&pods, "dns").unwrap_err(),
        "no pod offers port \"dns\" on its node; by hostNetwork or hostPort they offer: 446 (\"echo\")"
    );
}

#[test]
fn host_ports() {
    let spec = json!({
        "containers": [{"name": "c", "ports": [
            {"name": "http", "containerPort": 80, "hostPort": 8080},
            {"name": "bound", "containerPort": 81, "hostPort": 8081, "hostIP": "192.0.2.1"},
            {"name": "any", "containerPort": 82, "hostPort": 8082, "hostIP": "0.0.0.0"},
            {"name": "lo", "containerPort": 83, "hostPort": 8083, "hostIP": "127.0.0.1"},
            {"name": "inside", "containerPort": 84},
        ]}],
        "initContainers": [
            {"name": "s", "restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 85, "hostPort": 8085}]},
            {"name": "i", "ports": [{"name": "init", "containerPort": 86, "hostPort": 8086}]},
        ],
    });
    let pods = [pod(spec, ready("10.1.0.1"))];
    for (port, addr) in [
        ("http", Some("10.1.0.1:8080")),
        ("bound", Some("192.0.2.1:8081")),
        ("any", Some("10.1.0.1:8082")),
        ("lo", None),
        ("side", Some("10.1.0.1:8085")),
    ] {
        let addrs: Vec<String> = addr.into_iter().map(str::to_owned).collect();
        assert_eq!(map(&pods, port).unwrap(), addrs, "{port}");
    }
    assert_eq!(map(&pods, 8080).unwrap(), ["10.1.0.1:8080"]);
    assert_eq!(map(&pods, 80).unwrap(), ["10.1.0.1:8080"]);
    for port in ["inside", "init"] {
        assert!(
            map(&pods, port)
                .unwrap_err()
                .contains("they offer: 8081 (\"bound\")")
                || map(&pods, port).is_err()
        );
    }
    assert!(map(&pods, 84).is_err());
}

#[test]
fn readiness_drain_and_end() {
    let spec = in_host_network(json!([]));
    let status = |ip: &str, ready: &str, phase: &str| json!({"hostIP": ip, "phase": phase, "conditions": [{"type": "Ready", "status": ready}]});
    let deleting = |mut pod: Value| {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod
    };
    let ready = pod(spec.clone(), status("10.1.0.1", "True", "Running"));
    let unready = pod(spec.clone(), status("10.1.0.2", "False", "Running"));
    let ended = pod(spec.clone(), status("10.1.0.3", "True", "Succeeded"));
    let unscheduled = pod(
        json!({"hostNetwork": true, "containers": []}),
        json!({"phase": "Pending"}),
    );
    let draining = deleting(pod(spec.clone(), status("10.1.0.4", "True", "Running")));
    let dying = deleting(pod(spec, status("10.1.0.5", "False", "Running")));
    let all = [
        ready.clone(),
        unready.clone(),
        ended,
        unscheduled.clone(),
        draining.clone(),
        dying,
    ];
    let set = map(&all, 446).unwrap();
    assert_eq!(
        set,
        ["10.1.0.1:446", "10.1.0.4:446 drains", "10.1.0.5:446 drains"]
    );
    assert_eq!(map(&[unready, draining], 446).unwrap(), ["10.1.0.4:446"]);
    assert!(
        map(&[unscheduled], "echo").unwrap().is_empty(),
        "not an error yet"
    );
    // A pod that replaces another one on its node.
    let mut old = deleting(ready.clone());
    old["metadata"]["uid"] = json!("old");
    assert_eq!(map(&[old, ready], 446).unwrap(), ["10.1.0.1:446"]);
}

#[test]
fn a_backend_has_the_name_of_its_node() {
    let mut object = pod(in_host_network(json!([])), ready("10.1.0.1"));
    object["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": "a"});
    object["status"]["hostIPs"] = json!([{"ip": "10.1.0.1"}, {"ip": "fd00::1"}]);
    let pods = [Pod::of(from_value(object).unwrap())];
    let set = snapshot(pods.iter(), &446.into(), Families::PreferIpv6).unwrap();
    let wanted = Backend::new("[fd00::1]:446".parse().unwrap())
        .name("n")
        .node("n")
        .zone("a")
        .instance("u");
    assert_eq!(set.iter().collect::<Vec<_>>(), [&wanted]);
}
