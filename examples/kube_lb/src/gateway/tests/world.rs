//! A cluster of a test: objects, and what the controller makes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use lb_discovery::kubernetes::controller::ApiObject;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::outcome::Outcome;
use crate::addresses::{Mode, Pool, Pools, allocate};
use crate::gateway::evaluation::Evaluation;
use crate::gateway::objects::GatewayObjects;
use crate::gateway::policy::settings::{ReadPolicies, read_policies};
use crate::gateway::status::StatusContext;
use crate::objects::ObjectName;
use crate::objects::Service;
use crate::plan::{Plan, Reach};
use crate::services::Feedback;

pub(super) const CONTROLLER: &str = "kube-lb.internal/gateway";

/// The objects of a cluster. Names without a namespace are in `default`.
#[derive(Clone)]
pub(super) struct World {
    pub(super) objects: GatewayObjects,
    pub(super) services: BTreeMap<String, Arc<Service>>,
    pub(super) pools: Pools,
    pub(super) feedback: Feedback,
    pub(super) policies: ReadPolicies,
    /// The most ports of a Gateway.
    pub(super) max_ports: usize,
}

impl World {
    /// The class `lb`, the namespaces `default` (without labels), `red` and `blue` (labelled by their names), and a pool.
    pub(super) fn new() -> Self {
        let labelled = [
            ("default", json!({})),
            ("red", json!({"team": "red"})),
            ("blue", json!({"team": "blue"})),
        ];
        let namespaces = labelled.map(|(name, labels)| {
            (
                name.to_owned(),
                object(json!({"metadata": {"name": name, "labels": labels}})),
            )
        });
        let range = "192.0.2.1-192.0.2.9".parse().unwrap();
        let mut world = Self {
            objects: GatewayObjects {
                namespaces: namespaces.into(),
                ..GatewayObjects::default()
            },
            services: BTreeMap::new(),
            pools: Pools::try_new(vec![Pool::new("main", [range])]).unwrap(),
            feedback: Feedback::default(),
            policies: ReadPolicies::default(),
            max_ports: 128,
        };
        world.class("lb", CONTROLLER);
        world
    }

    pub(super) fn class(&mut self, name: &str, controller: &str) -> &mut Self {
        let class = json!({"metadata": {"name": name, "generation": 1, "resourceVersion": "1"},
            "spec": {"controllerName": controller}});
        insert(&mut self.objects.classes, class);
        self
    }

    /// A Gateway of the class `lb` with these listeners.
    pub(super) fn gateway<const N: usize>(
        &mut self,
        name: &str,
        listeners: [Value; N],
    ) -> &mut Self {
        self.gateway_with(name, json!({"listeners": &listeners[..]}))
    }

    pub(super) fn gateway_with(&mut self, name: &str, mut spec: Value) -> &mut Self {
        let spec_fields = spec.as_object_mut().unwrap();
        spec_fields
            .entry("gatewayClassName")
            .or_insert_with(|| "lb".into());
        let gateway = json!({"metadata": metadata(name, 0), "spec": spec});
        insert(&mut self.objects.gateways, gateway);
        self
    }

    /// A ListenerSet of the second `second` that refers to `gateway`.
    pub(super) fn listener_set<const N: usize>(
        &mut self,
        name: &str,
        second: u8,
        gateway: &str,
        listeners: [Value; N],
    ) -> &mut Self {
        self.listener_set_of(name, second, gateway, &listeners)
    }

    pub(super) fn listener_set_of(
        &mut self,
        name: &str,
        second: u8,
        gateway: &str,
        listeners: &[Value],
    ) -> &mut Self {
        let gateway = object_name(gateway);
        let parent = json!({"namespace": gateway.namespace, "name": gateway.name});
        let spec = json!({"parentRef": parent, "listeners": listeners});
        let set = json!({"metadata": metadata(name, second), "spec": spec});
        insert(&mut self.objects.listener_sets, set);
        self
    }

    pub(super) fn tcp_route(
        &mut self,
        name: &str,
        second: u8,
        parents: Value,
        backends: Value,
    ) -> &mut Self {
        let spec = json!({"parentRefs": parents, "rules": [{"backendRefs": backends}]});
        let route = json!({"metadata": metadata(name, second), "spec": spec});
        insert(&mut self.objects.tcp_routes, route);
        self
    }

    pub(super) fn tls_route(
        &mut self,
        name: &str,
        second: u8,
        parents: Value,
        hostnames: &[&str],
        backends: Value,
    ) -> &mut Self {
        let spec = json!({"parentRefs": parents, "hostnames": hostnames, "rules": [{"backendRefs": backends}]});
        let route = json!({"metadata": metadata(name, second), "spec": spec});
        insert(&mut self.objects.tls_routes, route);
        self
    }

    /// A Service with TCP ports.
    pub(super) fn service(&mut self, name: &str, ports: &[i32]) -> &mut Self {
        let ports = ports.iter().map(|port| (*port, "TCP"));
        self.service_with(name, "ClusterIP", &ports.collect::<Vec<_>>())
    }

    /// A Service of this type with ports and their protocols.
    pub(super) fn service_with(
        &mut self,
        name: &str,
        kind: &str,
        ports: &[(i32, &str)],
    ) -> &mut Self {
        let ObjectName { namespace, name } = object_name(name);
        let ports = ports
            .iter()
            .map(|(port, protocol)| json!({"port": port, "protocol": protocol}));
        let ports: Vec<Value> = ports.collect();
        let metadata = json!({"namespace": namespace, "name": name});
        insert(
            &mut self.services,
            json!({"metadata": metadata, "spec": {"type": kind, "ports": ports}}),
        );
        self
    }

    pub(super) fn grant(&mut self, namespace: &str, from: Value, to: Value) -> &mut Self {
        self.grant_named("grant", namespace, from, to)
    }

    pub(super) fn grant_named(
        &mut self,
        name: &str,
        namespace: &str,
        from: Value,
        to: Value,
    ) -> &mut Self {
        let metadata = json!({"namespace": namespace, "name": name});
        let grant = json!({"metadata": metadata, "spec": {"from": [from], "to": [to]}});
        insert(&mut self.objects.grants, grant);
        self
    }

    /// A ConnectionPolicy for targets: kind, name, section.
    pub(super) fn policy(
        &mut self,
        name: &str,
        second: u8,
        targets: &[(&str, &str, Option<&str>)],
        settings: Value,
    ) -> &mut Self {
        let group = "gateway.networking.k8s.io";
        let targets = targets.iter().map(|(kind, name, section)| {
            json!({"group": group, "kind": kind, "name": name, "sectionName": section})
        });
        let mut spec = settings;
        spec["targetRefs"] = targets.collect();
        insert(
            &mut self.objects.policies,
            json!({"metadata": metadata(name, second), "spec": spec}),
        );
        self
    }

    /// Evaluates the objects at the time `now`.
    pub(super) fn outcome_at(&self, now: &str) -> Outcome {
        let policies = read_policies(&self.objects.policies, &self.policies);
        let evaluation = Evaluation::new(
            &self.objects,
            &self.services,
            &policies,
            CONTROLLER,
            self.max_ports,
        );
        let requests = evaluation.requests(&self.pools);
        let grants = allocate(&self.pools, &requests, Mode::Assign);
        let mut plan = Plan::default();
        evaluation.add_to(&mut plan, &grants, Reach::Pods);
        let context = StatusContext {
            grants: &grants,
            feedback: &self.feedback,
            now,
        };
        let patches = evaluation.patches(context);
        Outcome::new(plan.to_string(), patches)
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.outcome_at("2026-11-30T12:00:00Z")
    }
}

pub(super) fn tcp(name: &str, port: u16) -> Value {
    json!({"name": name, "protocol": "TCP", "port": port})
}

pub(super) fn tls(name: &str, port: u16, hostname: Option<&str>) -> Value {
    json!({"name": name, "protocol": "TLS", "port": port, "hostname": hostname, "tls": {"mode": "Passthrough"}})
}

pub(super) fn listener(name: &str, protocol: &str, port: u16) -> Value {
    json!({"name": name, "protocol": protocol, "port": port})
}

/// The listener with other fields.
pub(super) fn with(mut listener: Value, fields: Value) -> Value {
    let fields = fields.as_object().unwrap().clone();
    listener.as_object_mut().unwrap().extend(fields);
    listener
}

/// References to the Gateway `name`, which may have a namespace.
pub(super) fn to(name: &str) -> Value {
    json!([parent(name)])
}

pub(super) fn parent(name: &str) -> Value {
    let ObjectName { namespace, name } = object_name(name);
    json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": namespace, "name": name})
}

/// References to Services: name, port, weight.
pub(super) fn backends(refs: &[(&str, u16, i64)]) -> Value {
    let refs = refs.iter().map(|(name, port, weight)| {
        let ObjectName { namespace, name } = object_name(name);
        json!({"namespace": namespace, "name": name, "port": port, "weight": weight})
    });
    refs.collect()
}

pub(super) fn object_name(name: &str) -> ObjectName {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    ObjectName::new(namespace, name)
}

fn metadata(name: &str, second: u8) -> Value {
    let ObjectName { namespace, name } = object_name(name);
    let created = format!("2026-11-30T11:00:{second:02}Z");
    json!({"namespace": namespace, "name": name, "generation": 1, "resourceVersion": "7",
        "creationTimestamp": created})
}

/// Inserts an object by its key.
pub(super) fn insert<T: ApiObject>(objects: &mut BTreeMap<String, Arc<T>>, value: Value) {
    let object: Arc<T> = object(value);
    objects.insert(object.metadata().key(), object);
}

fn object<T: DeserializeOwned>(object: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(object).unwrap())
}
