//! The fields of a Service that are read.

use lb_discovery::kubernetes::controller::{ApiObject, Metadata, ServiceOutline};
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::null::or_default;
use crate::names::{DOMAIN, GLOBAL};

/// The most ports that a message names.
const MOST_NAMED: usize = 32;

/// A Service.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Service {
    /// Its metadata, without the labels and annotations of other programs.
    pub metadata: Metadata,
    /// What its author wants.
    #[serde(deserialize_with = "or_default")]
    pub spec: ServiceSpec,
    /// What controllers have reported.
    #[serde(deserialize_with = "or_default")]
    pub status: ServiceStatus,
}

/// `spec` of a Service.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whose load balancer it asks for. Unset: the default one of the cluster.
    pub load_balancer_class: Option<String>,
    /// An address that it requests, in the deprecated way.
    #[serde(rename = "loadBalancerIP")]
    pub load_balancer_ip: Option<String>,
    /// The clients that may connect.
    #[serde(deserialize_with = "or_default")]
    pub load_balancer_source_ranges: Vec<String>,
    /// Its families.
    #[serde(deserialize_with = "or_default")]
    pub ip_families: Vec<String>,
    /// `SingleStack`, `PreferDualStack` or `RequireDualStack`.
    pub ip_family_policy: Option<String>,
    /// Its ports.
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<ServicePort>,
    /// The labels of its pods. Only whether there are some is used.
    #[serde(deserialize_with = "or_default")]
    pub selector: std::collections::BTreeMap<String, String>,
    /// `Cluster` or `Local`.
    pub external_traffic_policy: Option<String>,
    /// `None` or `ClientIP`.
    pub session_affinity: Option<String>,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name; the only port of a Service may have none.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its number.
    pub port: i32,
    /// `TCP`, which is the default, `UDP` or `SCTP`.
    pub protocol: Option<String>,
    /// Its number on the nodes.
    pub node_port: Option<i32>,
}

/// `status` of a Service.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Its addresses.
    #[serde(deserialize_with = "or_default")]
    pub load_balancer: LoadBalancerStatus,
    /// Its conditions.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
}

/// `status.loadBalancer` of a Service.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct LoadBalancerStatus {
    /// Its addresses.
    #[serde(deserialize_with = "or_default")]
    pub ingress: Vec<Ingress>,
}

/// An address of a Service.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, serde::Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ingress {
    /// The address.
    #[serde(deserialize_with = "or_default")]
    pub ip: String,
    /// `Proxy` for a load balancer that ends connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_mode: Option<String>,
    /// Its ports.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortStatus>,
}

/// A port of an address.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, serde::Serialize)]
#[serde(default)]
pub struct PortStatus {
    /// Its number.
    pub port: i32,
    /// Its protocol.
    #[serde(deserialize_with = "or_default")]
    pub protocol: String,
    /// Why it is not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl ApiObject for Service {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn trim(&mut self) {
        self.metadata.labels.retain(|key, _| key == GLOBAL);
        let is_ours = |key: &String| key.starts_with(DOMAIN);
        self.metadata.annotations.retain(|key, _| is_ours(key));
    }
}

impl Service {
    /// What decides about the backends of its port `port`. A Service may have 65535 other ports: some of them are named if it does not
    /// have this one.
    pub fn outline(&self, port: u16) -> ServiceOutline {
        let spec = &self.spec;
        let number = |number: i32| u16::try_from(number).ok().filter(|number| *number > 0);
        let ports = spec.ports.iter().filter(|port| port.is_tcp());
        let ports = ports.filter_map(|port| {
            let node_port = port.node_port.and_then(number);
            Some((port.name.as_str(), port.number()?, node_port))
        });
        let wanted: Vec<_> = ports
            .clone()
            .filter(|(_, number, _)| *number == port)
            .collect();
        let named = match wanted.is_empty() {
            true => ports.take(MOST_NAMED).collect(),
            false => wanted,
        };
        ServiceOutline::new(spec.kind.as_str())
            .has_selector(!spec.selector.is_empty())
            .is_local(spec.external_traffic_policy.as_deref() == Some("Local"))
            .families(spec.ip_families.iter().map(String::as_str))
            .ports(named)
    }

    /// Whether the Services of its name in other clusters feed it, or it feeds theirs.
    pub fn is_global(&self) -> bool {
        self.metadata
            .labels
            .get(GLOBAL)
            .is_some_and(|value| value == "true")
    }

    /// When it was created, as the API writes it.
    pub fn created(&self) -> &str {
        self.metadata
            .creation_timestamp
            .as_deref()
            .unwrap_or_default()
    }
}

impl ServicePort {
    /// Whether it is of TCP.
    pub fn is_tcp(&self) -> bool {
        self.protocol
            .as_deref()
            .is_none_or(|protocol| protocol == "TCP")
    }

    /// Its number, if it is one of TCP.
    pub fn number(&self) -> Option<u16> {
        u16::try_from(self.port).ok().filter(|number| *number > 0)
    }
}
