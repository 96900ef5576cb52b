use serde_json::{Value, json};

use super::*;

fn object<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

/// One object of each kind with every field that is read.
fn saved() -> SavedClusters {
    let metadata = json!({"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]});
    let service = json!({
        "metadata": {"name": "a", "namespace": "n", "labels": {"kube-lb.internal/global": "true"},
            "annotations": {"kube-lb.internal/policy": "p2c"}},
        "spec": {"type": "LoadBalancer", "loadBalancerClass": "c/d", "loadBalancerIP": "192.0.2.1",
            "loadBalancerSourceRanges": ["10.0.0.0/8"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "p", "port": 80, "protocol": "TCP", "nodePort": 30080}], "selector": {"app": "a"},
            "externalTrafficPolicy": "Local", "sessionAffinity": "ClientIP"},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "Proxy",
            "ports": [{"port": 80, "protocol": "TCP", "error": "e"}]}]},
            "conditions": [{"type": "t", "status": "True", "reason": "r", "message": "m", "observedGeneration": 3,
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    });
    let slice = json!({"metadata": {"name": "a-1", "namespace": "n", "labels": {"kubernetes.io/service-name": "a"}},
        "addressType": "IPv4", "ports": [{"name": "p", "port": 8080}],
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}]});
    let node = json!({"metadata": {"name": "one"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.1.0.1"}]}});
    let key = || "n/a".to_owned();
    let policy = json!({"metadata": metadata, "spec": {"targetRefs": [{"group": "g", "kind": "Gateway", "name": "a"}],
        "sourceRanges": ["10.0.0.0/8"], "drain": "5s", "clientSessions": 3}});
    let gateway = json!({"metadata": metadata, "spec": {"gatewayClassName": "c",
        "addresses": [{"type": "IPAddress", "value": "192.0.2.2"}],
        "allowedListeners": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}]}}},
        "listeners": [{"name": "l", "hostname": "*.example", "port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"},
            "allowedRoutes": {"kinds": [{"kind": "TLSRoute"}]}}]},
        "status": {"addresses": [{"value": "192.0.2.2"}], "listeners": [{"name": "l", "attachedRoutes": 1}]}});
    let route = json!({"metadata": metadata, "spec": {"parentRefs": [{"name": "a", "sectionName": "l", "port": 443}],
        "hostnames": ["a.example"], "rules": [{"backendRefs": [{"name": "a", "port": 80, "weight": 0}]}]},
        "status": {"parents": [{"parentRef": {"name": "a"}, "controllerName": "c"}]}});
    let gateway = GatewayObjects {
        classes: [("a".to_owned(), object(json!({"metadata": {"name": "a"}, "spec": {"controllerName": "c"}})))].into(),
        gateways: [(key(), object(gateway))].into(),
        listener_sets: [(key(), object(json!({"metadata": metadata, "spec": {"parentRef": {"name": "a"}}})))].into(),
        tcp_routes: [(key(), object(route.clone()))].into(),
        tls_routes: [(key(), object(route))].into(),
        grants: [(key(), object(json!({"metadata": metadata, "spec": {"from": [{"kind": "TCPRoute", "namespace": "m"}],
            "to": [{"kind": "Service", "name": "a"}]}})))].into(),
        policies: [(key(), object(policy))].into(),
        namespaces: [("n".to_owned(), object(json!({"metadata": {"name": "n", "labels": {"a": "b"}}})))].into(),
        releases: [("gateways.x".to_owned(), Some("v1.6.1".to_owned())), ("y".to_owned(), None)].into(),
    };
    SavedClusters {
        clusters: vec![SavedCluster {
            name: "west".to_owned(),
            as_of: at(1_000_007),
            services: [(key(), object(service))].into(),
            slices: [("n/a-1".to_owned(), object(slice))].into(),
            nodes: [("one".to_owned(), object(node))].into(),
            gateway,
        }],
    }
}

fn faults() -> SavedState {
    let document = json!({"version": 1, "saved_ms": 2_000_000, "upstreams": [{"name": "n/a:80", "sources": [],
        "backends": [{"addr": "10.0.0.1:8080", "instance": "u", "failures_in_row": 2,
            "failures": {"count": 1, "since_ms": -5, "renewed": false}}]}]});
    let json = serde_json::to_vec(&document).unwrap();
    SavedState::from_json(&json, at(2_000_000)).unwrap()
}

#[test]
fn faults_that_cannot_be_read_do_no_harm_to_the_objects() {
    let json = saved().to_json(&faults(), at(2_000_000)).unwrap();
    let mut document: Value = serde_json::from_slice(&json).unwrap();
    for wrong in [json!(null), json!([1]), json!({"version": 2})] {
        document["faults"] = wrong;
        let json = serde_json::to_vec(&document).unwrap();
        let read = RestoredState::from_json(&json, at(2_000_000)).unwrap();
        assert_eq!(read.clusters, saved());
        assert!(read.faults.is_none());
    }
    // A file of an earlier build has none.
    document.as_object_mut().unwrap().remove("faults");
    let json = serde_json::to_vec(&document).unwrap();
    assert!(RestoredState::from_json(&json, at(2_000_000)).is_ok());
}

#[test]
fn every_kind_is_read_as_it_was_written() {
    let saved = saved();
    let json = saved.to_json(&faults(), at(2_000_000)).unwrap();
    let read = RestoredState::from_json(&json, at(2_000_000)).unwrap();
    assert_eq!(read.faults.unwrap().to_json(), faults().to_json());
    let mut read = read.clusters;
    assert_eq!(read, saved);
    assert!(read.take("east").is_none());
    assert_eq!(read.take("west").unwrap().as_of, at(1_000_007));
    assert!(read.clusters.is_empty());
}

#[test]
fn what_is_cut_off_from_the_future_or_of_another_version_is_refused() {
    let json = saved().to_json(&faults(), at(2_000_000)).unwrap();
    for length in 0..json.len() {
        let error = RestoredState::from_json(&json[..length], at(2_000_000)).unwrap_err();
        assert!(
            matches!(error, SavedStateError::Malformed { .. }),
            "{length}: {error}"
        );
    }
    let early = |before: u64| RestoredState::from_json(&json, at(2_000_000 - before));
    assert!(early(60_000).is_ok());
    assert!(matches!(early(60_001), Err(SavedStateError::Future { .. })));
    let text = String::from_utf8(json).unwrap();
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    let error = RestoredState::from_json(newer.as_bytes(), at(2_000_000)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it has version 2, and this program reads version 1"
    );
    // Fields that a later build adds do no harm.
    let more = text.replacen("\"clusters\"", "\"new\":[{}],\"clusters\"", 1);
    assert!(RestoredState::from_json(more.as_bytes(), at(2_000_000)).is_ok());
    for content in ["", "0", "{}", "[]", "\u{0}", "{\"version\":1}"] {
        assert!(RestoredState::from_json(content.as_bytes(), at(2_000_000)).is_err());
    }
}
