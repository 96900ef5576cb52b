//! From nodes, a Service and its EndpointSlices to a set. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use lb_core::{AdminState, Backend, Snapshot, Weight};

use crate::ip_family::IpFamily;
use crate::sources::kubernetes::endpoint_slices::snapshot::per_node;
use crate::sources::kubernetes::objects::condition::Condition;
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::node::{Node, NodeAddress};
use crate::sources::kubernetes::objects::port::Port;
use crate::sources::kubernetes::objects::service::Service;
use crate::sources::kubernetes::objects::slice::Slice;

/// The reason why a Service of the type `kind` has no node port, and the remedy.
fn without_node_port(port: u16, kind: &str) -> String {
    let (reason, remedy) = match kind {
        "LoadBalancer" => (
            "its Service of type LoadBalancer has allocateLoadBalancerNodePorts: false".to_owned(),
            "set that to true",
        ),
        kind => (format!("the Service's type is {kind}"), "make it NodePort"),
    };
    format!("port {port} has no node port, because {reason}: {remedy}, or use the pods' addresses")
}

/// Which nodes are backends, and at which addresses.
#[derive(Clone, Debug)]
pub(crate) struct NodeOptions {
    pub(crate) port: Option<Port>,
    pub(crate) families: Families,
    pub(crate) addresses: Box<[NodeAddress]>,
    pub(crate) ready_only: bool,
}

/// Computes the set of the nodes, each at the Service's node port. Fails with the reason if there are none.
///
/// With `externalTrafficPolicy: Local` the weight of a node is the number of its endpoints that take connections, so that
/// every pod has the same share, however uneven the nodes are.
pub(crate) fn snapshot<'a>(
    service: &Service,
    nodes: impl Iterator<Item = (&'a str, &'a Node)> + Clone,
    slices: impl Iterator<Item = &'a Slice> + Clone,
    options: &NodeOptions,
) -> Result<Snapshot, String> {
    service.check_kind()?;
    let port = service.port(options.port.as_ref())?;
    let Some(node_port) = port.node_port else {
        return Err(without_node_port(port.number, &service.kind));
    };
    let local = |family| {
        let endpoints = per_node(slices.clone(), service, family, &port.name)?;
        Ok::<_, String>(LocalEndpoints::count(endpoints))
    };
    let local = match service.is_local {
        true => Some((local(IpFamily::V4)?, local(IpFamily::V6)?)),
        false => None,
    };
    let mut backends = Vec::new();
    let mut is_reachable = false;
    for (name, node) in nodes.clone() {
        if node.is_left_out(options) {
            continue;
        }
        let Some(ip) = node.address(service, options) else {
            continue;
        };
        is_reachable = true;
        let mut backend = Backend::new(SocketAddr::new(ip, node_port));
        backend.name = Some(name.into());
        backend.node.clone_from(&backend.name);
        backend.zone.clone_from(&node.zone);
        backend.instance.clone_from(&node.uid);
        let local = local.as_ref().map(|(v4, v6)| match IpFamily::of(ip) {
            IpFamily::V4 => v4,
            IpFamily::V6 => v6,
        });
        backends.extend(match local {
            None => Some(backend),
            Some(local) => local.weigh(name, backend),
        });
    }
    if !is_reachable {
        return Err(nodes_missing(nodes, options));
    }
    backends.sort_by_key(|backend| backend.addr);
    Ok(Snapshot::from_backends(backends))
}

/// The reason why none of the nodes is a backend.
fn nodes_missing<'a>(
    nodes: impl Iterator<Item = (&'a str, &'a Node)> + Clone,
    options: &NodeOptions,
) -> String {
    let all = nodes.clone().count();
    let left_out = nodes.filter(|(_, node)| node.is_left_out(options));
    let left_out = left_out.count();
    if all == left_out {
        return format!("no node may have connections: {all} are listed, all of them left out");
    }
    let NodeOptions {
        addresses,
        families,
        ..
    } = options;
    format!(
        "of {all} nodes {left_out} are left out and no other has an address that may be used: one of the types \
         {addresses:?} and the families {families:?}, which the Service must have as well"
    )
}

impl Node {
    /// Whether it is no backend, whatever its addresses are.
    fn is_left_out(&self, options: &NodeOptions) -> bool {
        self.is_excluded || (options.ready_only && !self.is_ready)
    }

    /// The address of the preferred type, then of the preferred family.
    fn address(&self, service: &Service, options: &NodeOptions) -> Option<IpAddr> {
        let serves = |family| service.families.is_empty() || service.families.contains(&family);
        let families = options.families.in_order().iter().copied();
        let families = families.filter(|family| serves(*family));
        options.addresses.iter().find_map(|kind| {
            families.clone().find_map(|family| {
                let mut all = self.addresses.iter();
                let found = all.find(|(known, ip)| known == kind && IpFamily::of(*ip) == family);
                found.map(|(_, ip)| *ip)
            })
        })
    }
}

/// For each node with endpoints, the number of those that take connections. Zero if all of them drain.
struct LocalEndpoints<'a>(BTreeMap<&'a str, u16>);

impl<'a> LocalEndpoints<'a> {
    fn count(endpoints: Vec<(&'a str, Condition)>) -> Self {
        let worst = Condition::worst_accepted(endpoints.iter().map(|(_, condition)| *condition));
        let mut nodes = BTreeMap::new();
        for (node, condition) in endpoints {
            if condition != Condition::NotReady {
                let count: &mut u16 = nodes.entry(node).or_default();
                *count = count.saturating_add(u16::from(condition <= worst));
            }
        }
        Self(nodes)
    }

    fn weigh(&self, node: &str, backend: Backend) -> Option<Backend> {
        let count = *self.0.get(node)?;
        Some(if count == 0 {
            backend.admin(AdminState::Drain)
        } else {
            backend.weight(Weight::new(count))
        })
    }
}

#[cfg(test)]
mod tests;
