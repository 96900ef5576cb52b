//! The fields of an EndpointSlice, and which slices are skipped.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lb_core::Backend;

use crate::ip_family::IpFamily;
use crate::sources::kubernetes::objects::condition::Condition;
use crate::sources::kubernetes::objects::families::parse_family;
use crate::sources::kubernetes::objects::port;
use crate::sources::kubernetes::objects::projection::Projection;
use crate::sources::kubernetes::objects::service::Service;

pub(crate) mod written;

/// The label of the slices that a controller makes from the pods that their Service selects.
const OF_SELECTOR: (&str, &str) = (
    "endpointslice.kubernetes.io/managed-by",
    "endpointslice-controller.k8s.io",
);

/// The fields of an EndpointSlice that sources use.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slice {
    /// `None` for names (`FQDN`), which are not supported: the API deprecates them.
    pub(crate) family: Option<IpFamily>,
    /// Whether a controller made it from the pods that the Service selects.
    is_of_selector: bool,
    /// Whether it has no endpoints, as a slice that is created before its endpoints.
    pub(crate) is_vacant: bool,
    /// TCP ports by name. The number is not validated.
    pub(crate) ports: Box<[(Box<str>, Option<i32>)]>,
    pub(crate) endpoints: Box<[SliceEndpoint]>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SliceEndpoint {
    pub(crate) ip: IpAddr,
    pub(crate) condition: Condition,
    pod: Option<Arc<str>>,
    uid: Option<Arc<str>>,
    pub(crate) node: Option<Arc<str>>,
    zone: Option<Arc<str>>,
    for_zones: Arc<[Arc<str>]>,
}

impl Projection for Slice {
    type Object = v1::EndpointSlice;

    // Whether there is an `Option` around the endpoints depends on the version of the API that the binary chooses.
    #[allow(clippy::useless_conversion)]
    fn of(object: v1::EndpointSlice) -> Self {
        let ports = object.ports.unwrap_or_default().into_iter();
        let endpoints: Option<Vec<v1::Endpoint>> = object.endpoints.into();
        let endpoints = endpoints.unwrap_or_default();
        Self {
            family: parse_family(&object.address_type),
            is_of_selector: is_of_selector(&object.metadata),
            is_vacant: endpoints.is_empty(),
            ports: ports
                .filter(|port| port::is_tcp(port.protocol.as_deref()))
                .map(|port| (port.name.unwrap_or_default().into(), port.port))
                .collect(),
            endpoints: endpoints
                .into_iter()
                .filter_map(SliceEndpoint::of)
                .collect(),
        }
    }
}

/// Whether a controller made a slice from the pods that its Service selects. If the Service has no selector any more, the
/// controller no longer updates the slice, and neither the copy that another controller mirrors from Endpoints.
fn is_of_selector(metadata: &ObjectMeta) -> bool {
    let label = |name| metadata.labels.as_ref()?.get(name).map(String::as_str);
    label(OF_SELECTOR.0) == Some(OF_SELECTOR.1)
        || label("endpoints.kubernetes.io/managed-by") == Some("endpoint-controller")
}

impl Slice {
    /// The number of the port `name`, if there is such a port and its number is valid.
    pub(crate) fn port(&self, name: &str) -> Option<u16> {
        self.raw_port(name)?.and_then(port::number)
    }

    fn raw_port(&self, name: &str) -> Option<Option<i32>> {
        let found = self.ports.iter().find(|(known, _)| **known == *name);
        found.map(|(_, number)| *number)
    }

    /// Why the slice is skipped, if it is one of this Service with this port. kube-proxy also skips slices without a
    /// usable port or address.
    pub(crate) fn skip_reason(&self, service: &Service, port: &str) -> Option<String> {
        if self.family.is_none() {
            return Some("its addresses are names, which the API deprecates".to_owned());
        }
        if self.is_of_selector && !service.has_selector {
            let why = "it is left over from a selector that the Service no longer has, and is not updated any more";
            return Some(why.to_owned());
        }
        if self.endpoints.is_empty() && !self.is_vacant {
            return Some("none of its endpoints has an IP address".to_owned());
        }
        match self.raw_port(port)? {
            None => Some(format!("its port {port:?} has no number")),
            Some(number) if port::number(number).is_none() => Some(format!(
                "its port {port:?} has the number {number}, which is no TCP port"
            )),
            Some(_) => None,
        }
    }
}

impl SliceEndpoint {
    /// Returns `None` without an IP address.
    fn of(endpoint: v1::Endpoint) -> Option<Self> {
        // The other addresses belong to the same endpoint, and kube-proxy ignores them.
        let ip = endpoint.addresses.first()?.parse().ok()?;
        let conditions = endpoint.conditions.unwrap_or_default();
        let pod = endpoint
            .target_ref
            .filter(|target| target.kind.as_deref() == Some("Pod"))
            .unwrap_or_default();
        let hints = endpoint.hints.and_then(|hints| hints.for_zones);
        Some(Self {
            ip,
            condition: Condition::of(
                conditions.ready.unwrap_or(true),
                conditions.serving.unwrap_or(true),
                conditions.terminating.unwrap_or(false),
            ),
            pod: pod.name.map(Arc::from),
            uid: pod.uid.map(Arc::from),
            node: endpoint.node_name.map(Arc::from),
            zone: endpoint.zone.map(Arc::from),
            for_zones: hints
                .into_iter()
                .flatten()
                .map(|zone| zone.name.into())
                .collect(),
        })
    }

    pub(crate) fn backend(&self, port: u16) -> Backend {
        let mut backend = Backend::new(SocketAddr::new(self.ip, port));
        backend.name.clone_from(&self.pod);
        backend.instance.clone_from(&self.uid);
        backend.node.clone_from(&self.node);
        backend.zone.clone_from(&self.zone);
        backend.for_zones = Arc::clone(&self.for_zones);
        backend
    }
}
