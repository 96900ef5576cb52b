//! From EndpointSlices to a set. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lb_core::{Backend, Snapshot};

use crate::kubernetes::condition::{Condition, admit};
use crate::kubernetes::families::{Families, Family};
use crate::kubernetes::list_watch::Record;
use crate::kubernetes::port;
use crate::kubernetes::service::Service;

/// What is needed of an EndpointSlice.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::kubernetes) struct Slice {
    /// `None` for names, which are not supported: the API deprecates them.
    family: Option<Family>,
    /// Whether it was made from the pods that the Service selects.
    is_of_selector: bool,
    /// Whether it only holds the place of endpoints that are to come.
    is_vacant: bool,
    /// TCP ports by name; the number is whatever the API accepted.
    ports: Box<[(Box<str>, Option<i32>)]>,
    endpoints: Box<[Endpoint]>,
}

#[derive(Clone, Debug, PartialEq)]
struct Endpoint {
    ip: IpAddr,
    condition: Condition,
    pod: Option<Arc<str>>,
    uid: Option<Arc<str>>,
    node: Option<Arc<str>>,
    zone: Option<Arc<str>>,
    for_zones: Arc<[Arc<str>]>,
}

impl Record for Slice {
    type Object = v1::EndpointSlice;

    // Whether there is an `Option` around the endpoints depends on the version of the API that the binary chooses.
    #[allow(clippy::useless_conversion)]
    fn of(object: v1::EndpointSlice) -> Self {
        let ports = object.ports.unwrap_or_default().into_iter();
        let endpoints: Option<Vec<v1::Endpoint>> = object.endpoints.into();
        let endpoints = endpoints.unwrap_or_default();
        Self {
            family: Family::parse(&object.address_type),
            is_of_selector: is_of_selector(&object.metadata),
            is_vacant: endpoints.is_empty(),
            ports: ports
                .filter(|port| port::is_tcp(port.protocol.as_deref()))
                .map(|port| (port.name.unwrap_or_default().into(), port.port))
                .collect(),
            endpoints: endpoints.into_iter().filter_map(Endpoint::of).collect(),
        }
    }
}

/// Whether a controller made a slice from the pods that its Service selects. Without a selector the controller leaves
/// it as it is, and the one that mirrors Endpoints copies those that were left in the same way.
fn is_of_selector(metadata: &ObjectMeta) -> bool {
    let label = |name| metadata.labels.as_ref()?.get(name).map(String::as_str);
    label("endpointslice.kubernetes.io/managed-by") == Some("endpointslice-controller.k8s.io")
        || label("endpoints.kubernetes.io/managed-by") == Some("endpoint-controller")
}

impl Slice {
    /// The number of the port `name`, if there is such a port and if it has one.
    fn port(&self, name: &str) -> Option<u16> {
        self.raw_port(name)?.and_then(port::number)
    }

    fn raw_port(&self, name: &str) -> Option<Option<i32>> {
        let found = self.ports.iter().find(|(known, _)| **known == *name);
        found.map(|(_, number)| *number)
    }

    /// Why nothing is taken from it, although it is a slice of this Service with this port; as kube-proxy, which also
    /// passes over what has no usable port or no address.
    pub(in crate::kubernetes) fn passed_over(
        &self,
        service: &Service,
        port: &str,
    ) -> Option<String> {
        if self.family.is_none() {
            return Some("its addresses are names, which the API deprecates".to_owned());
        }
        if self.is_of_selector && !service.has_selector {
            let why = "it is left from when the Service had a selector, and not kept up any more";
            return Some(why.to_owned());
        }
        if self.endpoints.is_empty() && !self.is_vacant {
            return Some("none of its endpoints has an IP address".to_owned());
        }
        match self.raw_port(port)? {
            None => Some(format!("its port {port:?} has no number")),
            Some(number) if port::number(number).is_none() => Some(format!(
                "its port {port:?} has the number {number}, which is none of TCP"
            )),
            Some(_) => None,
        }
    }
}

impl Endpoint {
    /// `None` without an address that can be connected to.
    fn of(endpoint: v1::Endpoint) -> Option<Self> {
        // The others mean the same endpoint, and kube-proxy ignores them.
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

    fn backend(&self, port: u16) -> Backend {
        let mut backend = Backend::new(SocketAddr::new(self.ip, port));
        backend.name.clone_from(&self.pod);
        backend.instance.clone_from(&self.uid);
        backend.node.clone_from(&self.node);
        backend.zone.clone_from(&self.zone);
        backend.for_zones = Arc::clone(&self.for_zones);
        backend
    }
}

/// The set that all slices of `service`, in the order of their names, make together, at its port `port`.
///
/// Fails with the reason if there are endpoints and none can be used, or no slices at all.
pub(super) fn snapshot<'a>(
    slices: impl Iterator<Item = &'a Slice> + Clone,
    service: &Service,
    port: &str,
    families: Families,
) -> Result<Snapshot, String> {
    let usable = usable(slices.clone(), service, port)?;
    let with_port = usable.iter().filter(|slice| slice.port(port).is_some());
    let mut in_order = families.in_order().iter();
    let family = in_order.find(|family| with_port.clone().any(|s| s.family == Some(**family)));
    let Some(family) = family else {
        return match usable.is_empty() {
            true => Ok(Snapshot::default()),
            false => Err("no endpoint has an address of a family that may be used".to_owned()),
        };
    };
    let mut found = Vec::new();
    for slice in usable.iter().filter(|slice| slice.family == Some(*family)) {
        if let Some(port) = slice.port(port) {
            let all = slice.endpoints.iter();
            found.extend(all.map(|endpoint| (endpoint.condition, endpoint.backend(port))));
        }
    }
    Ok(admit(found))
}

/// The slices that have endpoints at the port `port`, or why there is none although there are endpoints. Empty if there
/// are slices and none of them has an endpoint.
fn usable<'a>(
    slices: impl Iterator<Item = &'a Slice> + Clone,
    service: &Service,
    port: &str,
) -> Result<Vec<&'a Slice>, String> {
    if slices.clone().next().is_none() {
        return Err(match service.has_selector {
            true => "the Service has no EndpointSlice".to_owned(),
            false => {
                "the Service has no selector, and no EndpointSlice that was made by hand".to_owned()
            }
        });
    }
    let filled = slices.filter(|slice| !slice.is_vacant);
    let passed_over = filled.clone().map(|slice| slice.passed_over(service, port));
    let (kept, passed_over): (Vec<_>, Vec<_>) = filled
        .clone()
        .zip(passed_over)
        .partition(|(_, why)| why.is_none());
    let kept: Vec<&Slice> = kept.into_iter().map(|(slice, _)| slice).collect();
    let with_port: Vec<&Slice> = kept
        .iter()
        .copied()
        .filter(|slice| slice.port(port).is_some())
        .collect();
    if !with_port.is_empty() {
        return Ok(with_port);
    }
    match (
        kept.is_empty(),
        passed_over.into_iter().find_map(|(_, why)| why),
    ) {
        (false, _) => {
            let has = has(kept.into_iter());
            Err(format!(
                "no endpoint has a TCP port {port:?}, they have: {has}"
            ))
        }
        (true, Some(why)) => Err(format!(
            "every EndpointSlice is passed over; of the first: {why}"
        )),
        (true, None) => Ok(Vec::new()),
    }
}

/// The node and the condition of every endpoint of `service` with the port `port`, each endpoint once.
pub(in crate::kubernetes) fn per_node<'a>(
    slices: impl Iterator<Item = &'a Slice> + Clone,
    service: &Service,
    family: Family,
    port: &str,
) -> Result<Vec<(&'a str, Condition)>, String> {
    let mut found = Vec::new();
    for slice in usable(slices, service, port)? {
        if slice.family == Some(family)
            && let Some(port) = slice.port(port)
        {
            let on_nodes = slice.endpoints.iter().filter_map(|endpoint| {
                Some((
                    (endpoint.ip, port),
                    endpoint.condition,
                    endpoint.node.as_deref()?,
                ))
            });
            found.extend(on_nodes);
        }
    }
    found.sort_by_key(|(place, condition, _)| (*place, *condition));
    found.dedup_by_key(|(place, ..)| *place);
    let nodes = found.into_iter();
    Ok(nodes
        .map(|(_, condition, node)| (node, condition))
        .collect())
}

fn has<'a>(slices: impl Iterator<Item = &'a Slice>) -> String {
    let ports = slices.flat_map(|slice| &slice.ports);
    let ports = ports.map(|(name, number)| (&**name, number.and_then(port::number)));
    port::list(ports.collect::<BTreeSet<_>>())
}

#[cfg(test)]
mod tests;
