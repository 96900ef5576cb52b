//! The sets of a Service, from objects that the program follows.

use k8s_openapi::api::{core, discovery};
use lb_core::Snapshot;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::metadata::{ApiObject, Metadata};
use crate::sources::kubernetes::endpoint_slices::snapshot;
use crate::sources::kubernetes::node_port::snapshot as node_port;
use crate::sources::kubernetes::node_port::snapshot::NodeOptions;
use crate::sources::kubernetes::objects;
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::node::NodeAddress;
use crate::sources::kubernetes::objects::port::Port;
use crate::sources::kubernetes::objects::projection::Projection;
use crate::sources::kubernetes::objects::service::ServicePort;
use crate::sources::kubernetes::objects::slice::Slice;

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// An EndpointSlice: a part of the endpoints of a Service.
///
/// Two are equal whatever their versions, so that a controller's heartbeat is no change.
#[derive(Clone, Debug)]
pub struct EndpointSlice {
    metadata: Metadata,
    slice: Slice,
}

impl EndpointSlice {
    /// The name of its Service, which is in the same namespace.
    pub fn service(&self) -> Option<&str> {
        self.metadata.labels.get(SERVICE_NAME).map(String::as_str)
    }
}

impl PartialEq for EndpointSlice {
    fn eq(&self, other: &Self) -> bool {
        self.slice == other.slice && self.metadata.is_same_object(&other.metadata)
    }
}

impl ApiObject for EndpointSlice {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// As the API has it, with the fields that are read.
impl Serialize for EndpointSlice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = self.slice.written(self.metadata.clone());
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EndpointSlice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = discovery::v1::EndpointSlice::deserialize(deserializer)?;
        let labels = object.metadata.labels.take().unwrap_or_default();
        let service = labels.get_key_value(SERVICE_NAME);
        let metadata = Metadata {
            labels: service
                .map(|(key, value)| (key.clone(), value.clone()))
                .into_iter()
                .collect(),
            ..identity(&mut object.metadata)
        };
        // The slice reads labels as well.
        object.metadata.labels = Some(labels);
        Ok(Self {
            metadata,
            slice: Slice::of(object),
        })
    }
}

/// A node of the cluster.
///
/// Two are equal whatever their versions, so that a kubelet's heartbeat is no change.
#[derive(Clone, Debug)]
pub struct ClusterNode {
    metadata: Metadata,
    node: objects::node::Node,
}

impl PartialEq for ClusterNode {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node && self.metadata.is_same_object(&other.metadata)
    }
}

impl ApiObject for ClusterNode {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// As the API has it, with the fields that are read.
impl Serialize for ClusterNode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = self.node.written(self.metadata.clone());
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ClusterNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = core::v1::Node::deserialize(deserializer)?;
        let uid = object.metadata.uid.clone();
        let metadata = identity(&mut object.metadata);
        object.metadata.uid = uid;
        Ok(Self {
            metadata,
            node: objects::node::Node::of(object),
        })
    }
}

/// The name, namespace, UID and version, taken out of `metadata`.
fn identity(metadata: &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Metadata {
    Metadata {
        name: metadata.name.take().unwrap_or_default(),
        namespace: metadata.namespace.take(),
        uid: metadata.uid.take(),
        resource_version: metadata.resource_version.take(),
        ..Metadata::default()
    }
}

/// What decides about the backends of a Service, besides its endpoints.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceOutline(objects::service::Service);

impl ServiceOutline {
    /// A Service of the type `kind` without ports, such as `LoadBalancer`.
    pub fn new(kind: impl Into<Box<str>>) -> Self {
        Self(objects::service::Service {
            kind: kind.into(),
            has_selector: false,
            is_local: false,
            families: Box::default(),
            ports: Box::default(),
        })
    }

    /// Sets whether it selects pods. Default: no.
    #[must_use]
    pub fn has_selector(mut self, has_selector: bool) -> Self {
        self.0.has_selector = has_selector;
        self
    }

    /// Sets whether nodes forward to their own pods only (`externalTrafficPolicy: Local`). Default: no.
    #[must_use]
    pub fn is_local(mut self, is_local: bool) -> Self {
        self.0.is_local = is_local;
        self
    }

    /// Sets its families: `IPv4`, `IPv6`. Other texts are ignored. Default: none, which means any.
    #[must_use]
    pub fn families<'a>(mut self, families: impl IntoIterator<Item = &'a str>) -> Self {
        let families = families.into_iter();
        let known = families.filter_map(objects::families::parse_family);
        self.0.families = known.collect();
        self
    }

    /// Sets its TCP ports: the name, which may be empty, the number, and the node port.
    #[must_use]
    pub fn ports<'a>(
        mut self,
        ports: impl IntoIterator<Item = (&'a str, u16, Option<u16>)>,
    ) -> Self {
        let ports = ports.into_iter();
        let ports = ports.map(|(name, number, node_port)| ServicePort {
            name: name.into(),
            number,
            node_port,
        });
        self.0.ports = ports.collect();
        self
    }
}

/// Computes the set of the pods of `service` at its port `port`, from all its slices in the order of their names. O(n log n) in
/// the number of endpoints.
///
/// # Errors
///
/// The reason why there is no backend, if that is not simply that no pod is ready; see
/// [`kubernetes`](crate::kubernetes#what-an-answer-does).
pub fn pods<'a>(
    slices: impl Iterator<Item = &'a EndpointSlice> + Clone,
    service: &ServiceOutline,
    port: u16,
    families: Families,
) -> Result<Snapshot, String> {
    service.0.check_kind()?;
    let port = service.0.port(Some(&Port::Number(port)))?;
    let slices = slices.map(|slice| &slice.slice);
    snapshot::snapshot(slices, &service.0, &port.name, families)
}

/// Computes the set of the nodes at the node port of the port `port` of `service`.
///
/// A node has its internal address. The slices count if the Service [is local](ServiceOutline::is_local): then a node
/// has the number of its pods as weight.
///
/// # Errors
///
/// The reason why there is no backend.
pub fn nodes<'a>(
    nodes: impl Iterator<Item = &'a ClusterNode> + Clone,
    slices: impl Iterator<Item = &'a EndpointSlice> + Clone,
    service: &ServiceOutline,
    port: u16,
    families: Families,
) -> Result<Snapshot, String> {
    let nodes = nodes.map(|node| (node.metadata.name.as_str(), &node.node));
    let options = NodeOptions {
        port: Some(Port::Number(port)),
        families,
        addresses: [NodeAddress::Internal].into(),
        ready_only: false,
    };
    let slices = slices.map(|slice| &slice.slice);
    node_port::snapshot(&service.0, nodes, slices, &options)
}
