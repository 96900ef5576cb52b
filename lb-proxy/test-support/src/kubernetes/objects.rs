//! Objects as the API server sends them.

use std::net::IpAddr;

use serde_json::{Value, json};

/// An endpoint that is ready.
pub fn endpoint(ip: &str, pod: &str) -> Value {
    json!({
        "addresses": [ip],
        "conditions": {"ready": true, "serving": true, "terminating": false},
        "nodeName": "node-1",
        "targetRef": {"kind": "Pod", "namespace": "default", "name": pod, "uid": format!("uid-{pod}")},
        "zone": "zone-a",
    })
}

/// An endpoint in another condition.
pub fn with_condition(mut endpoint: Value, ready: bool, serving: bool, ending: bool) -> Value {
    endpoint["conditions"] = json!({"ready": ready, "serving": serving, "terminating": ending});
    endpoint
}

/// The same endpoint on another node.
pub fn on_node(mut endpoint: Value, node: &str) -> Value {
    endpoint["nodeName"] = json!(node);
    endpoint
}

/// A slice of the Service `echo`. Its port `echo` is 8080 in the pods.
pub fn slice(name: &str, endpoints: &[Value]) -> Value {
    let is_v6 = |endpoint: &Value| {
        let ip = endpoint["addresses"][0].as_str();
        ip.is_some_and(|ip| matches!(ip.parse(), Ok(IpAddr::V6(_))))
    };
    json!({
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": name, "namespace": "default",
            "labels": {"kubernetes.io/service-name": "echo"},
        },
        "addressType": if endpoints.iter().any(is_v6) { "IPv6" } else { "IPv4" },
        "ports": [{"name": "echo", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    })
}

/// The Service `echo`: its port 80, `echo`, is 30080 on the nodes.
pub fn service(policy: &str) -> Value {
    json!({
        "kind": "Service", "apiVersion": "v1",
        "metadata": {"name": "echo", "namespace": "default"},
        "spec": {
            "type": "NodePort",
            "externalTrafficPolicy": policy,
            "ipFamilies": ["IPv4"],
            "ports": [{"name": "echo", "port": 80, "targetPort": 8080, "nodePort": 30080, "protocol": "TCP"}],
        },
    })
}

/// The Service `echo` for inside of the cluster only.
pub fn inner_service() -> Value {
    let mut service = service("Cluster");
    let spec = service["spec"].as_object_mut().unwrap();
    spec.insert("type".to_owned(), json!("ClusterIP"));
    spec.remove("externalTrafficPolicy");
    let port = spec["ports"][0].as_object_mut().unwrap();
    port.remove("nodePort");
    service
}

/// A node that is ready.
pub fn node(name: &str, ip: &str) -> Value {
    json!({
        "kind": "Node", "apiVersion": "v1",
        "metadata": {
            "name": name, "uid": format!("uid-{name}"),
            "labels": {"topology.kubernetes.io/zone": "zone-a"},
        },
        "spec": {},
        "status": {
            "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

/// A pod of the DaemonSet `echo` in the network of its node, on port 446.
pub fn pod(name: &str, node: &str, host_ip: &str) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": name, "namespace": "default", "uid": format!("uid-{name}"),
            "labels": {"app": "echo"},
        },
        "spec": {
            "nodeName": node, "hostNetwork": true,
            "containers": [{
                "name": "echo", "image": "echo",
                "ports": [{"name": "echo", "containerPort": 446, "hostPort": 446, "protocol": "TCP"}],
            }],
        },
        "status": {
            "phase": "Running", "hostIP": host_ip, "hostIPs": [{"ip": host_ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

/// The same pod when it fails its probe.
pub fn not_ready(mut pod: Value) -> Value {
    pod["status"]["conditions"][0]["status"] = json!("False");
    pod
}

/// The same object while it is deleted.
pub fn deleting(mut object: Value) -> Value {
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    object
}

/// A DaemonSet of the pods with the label `app=echo` that fits no node.
pub fn daemon_set(name: &str) -> Value {
    let mut set = workload("DaemonSet", name);
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"lb-test/node": "none"});
    set
}

/// A Deployment of the pods with the label `app=echo`, with no replicas.
pub fn deployment(name: &str) -> Value {
    let mut deployment = workload("Deployment", name);
    deployment["spec"]["replicas"] = json!(0);
    deployment
}

fn workload(kind: &str, name: &str) -> Value {
    json!({
        "kind": kind, "apiVersion": "apps/v1",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "echo"}},
            "template": {
                "metadata": {"labels": {"app": "echo"}},
                "spec": {"containers": [{"name": "echo", "image": "echo"}]},
            },
        },
    })
}
