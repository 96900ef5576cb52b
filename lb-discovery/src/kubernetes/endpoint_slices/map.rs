//! From EndpointSlices to a set. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1;
use lb_core::{Backend, Snapshot};

use crate::kubernetes::condition::{Condition, admit};
use crate::kubernetes::families::{Families, Family};
use crate::kubernetes::list_watch::Record;
use crate::kubernetes::port;

/// What is needed of an EndpointSlice.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::kubernetes) struct Slice {
    /// `None` for names, which are not supported: the API deprecates them.
    family: Option<Family>,
    /// TCP ports by name; without a number, the endpoints take connections on any.
    ports: Box<[(Box<str>, Option<u16>)]>,
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
        Self {
            family: Family::parse(&object.address_type),
            ports: ports
                .filter(|port| port::is_tcp(port.protocol.as_deref()))
                .map(|port| {
                    let name = port.name.unwrap_or_default().into();
                    (name, port.port.and_then(port::number))
                })
                .collect(),
            endpoints: endpoints
                .into_iter()
                .flatten()
                .filter_map(Endpoint::of)
                .collect(),
        }
    }
}

impl Slice {
    /// The number of the port `name`, if there is such a port and if it has one.
    fn port(&self, name: &str) -> Option<Option<u16>> {
        let found = self.ports.iter().find(|(known, _)| **known == *name);
        found.map(|(_, number)| *number)
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

/// Which port of the slices is meant.
#[derive(Clone, Copy, Debug)]
pub(in crate::kubernetes) enum SlicePort<'a> {
    /// The only one there is.
    Only,
    /// The one with this name.
    Named(&'a str),
    /// The one with this name; where it has no number, this one.
    NamedOr(&'a str, u16),
}

/// The set that all slices of one Service, in the order of their names, make together.
pub(super) fn snapshot<'a>(
    slices: impl Iterator<Item = &'a Slice> + Clone,
    port: SlicePort<'a>,
    families: Families,
) -> Result<Snapshot, String> {
    let of = |family| slices.clone().filter(move |s| s.family == Some(family));
    let has_endpoints = |family: &&Family| of(**family).any(|slice| !slice.endpoints.is_empty());
    let Some(family) = families.in_order().iter().find(has_endpoints) else {
        return match slices.clone().any(|slice| !slice.endpoints.is_empty()) {
            true => Err("no endpoint has an address of a family that may be used".to_owned()),
            false => Ok(Snapshot::default()),
        };
    };
    let slices = of(*family).filter(|slice| !slice.endpoints.is_empty());
    let name = name_of(port, slices.clone())?;
    let mut found = Vec::new();
    let mut is_known = false;
    for slice in slices.clone() {
        let Some(number) = slice.port(name) else {
            continue;
        };
        is_known = true;
        let fallback = match port {
            SlicePort::NamedOr(_, number) => Some(number),
            SlicePort::Only | SlicePort::Named(_) => None,
        };
        if let Some(port) = number.or(fallback) {
            let all = slice.endpoints.iter();
            found.extend(all.map(|endpoint| (endpoint.condition, endpoint.backend(port))));
        }
    }
    if !is_known {
        let has = has(slices);
        return Err(format!(
            "no endpoint has a TCP port {name:?}, they have: {has}"
        ));
    }
    Ok(admit(found))
}

/// The node and the condition of every endpoint with the port `name`, each endpoint once.
pub(in crate::kubernetes) fn per_node<'a>(
    slices: impl Iterator<Item = &'a Slice>,
    family: Family,
    name: &str,
) -> Vec<(&'a str, Condition)> {
    let mut found = Vec::new();
    for slice in slices.filter(|slice| slice.family == Some(family)) {
        if let Some(port) = slice.port(name) {
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
    found
        .into_iter()
        .map(|(_, condition, node)| (node, condition))
        .collect()
}

fn name_of<'a>(
    port: SlicePort<'a>,
    slices: impl Iterator<Item = &'a Slice> + Clone,
) -> Result<&'a str, String> {
    match port {
        SlicePort::Named(name) | SlicePort::NamedOr(name, _) => Ok(name),
        SlicePort::Only => {
            let ports = slices.clone().flat_map(|slice| &slice.ports);
            let names: BTreeSet<&str> = ports.map(|(name, _)| &**name).collect();
            match (names.first(), names.len()) {
                (Some(name), 1) => Ok(name),
                _ => Err(format!(
                    "say which port of the endpoints is meant, they have: {}",
                    has(slices)
                )),
            }
        }
    }
}

fn has<'a>(slices: impl Iterator<Item = &'a Slice>) -> String {
    let ports = slices.flat_map(|slice| &slice.ports);
    let ports: BTreeSet<_> = ports.map(|(name, number)| (&**name, *number)).collect();
    port::list(ports)
}

#[cfg(test)]
mod tests;
