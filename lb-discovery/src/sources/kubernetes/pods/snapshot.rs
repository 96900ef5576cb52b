//! From pods to a set. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use lb_core::{Backend, Snapshot};

use crate::sources::kubernetes::objects::condition::admit;
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::pod::Pod;
use crate::sources::kubernetes::objects::port::{self, Port};

/// Computes the set of `pods`, each at the address of its node.
///
/// A backend has the name of the node, which stays the same when a DaemonSet replaces its pod, and the pod's UID as its
/// instance.
pub(crate) fn snapshot<'a>(
    pods: impl Iterator<Item = &'a Pod> + Clone,
    port: &Port,
    families: Families,
) -> Result<Snapshot, String> {
    let mut found = Vec::new();
    let mut is_known = false;
    let on_nodes = pods.filter(|pod| !pod.host_ips.is_empty());
    for pod in on_nodes.clone() {
        let Some((number, bound_to)) = pod.port(port) else {
            continue;
        };
        is_known = true;
        if let Some(ip) = pod.address(bound_to, families) {
            let mut backend = Backend::new(SocketAddr::new(ip, number));
            backend.name.clone_from(&pod.node);
            backend.node.clone_from(&pod.node);
            backend.zone.clone_from(&pod.zone);
            backend.instance.clone_from(&pod.uid);
            found.push((pod.condition, backend));
        }
    }
    if !is_known && on_nodes.clone().next().is_some() {
        let ports = on_nodes.flat_map(|pod| pod.ports.iter().map(|p| (&*p.name, pod.of_host(p))));
        let ports = ports.filter(|(_, number)| number.is_some());
        let has = port::list(ports.collect::<BTreeSet<_>>());
        return Err(format!(
            "no pod offers port {port} on its node; by hostNetwork or hostPort they offer: {has}"
        ));
    }
    Ok(admit(found))
}

#[cfg(test)]
mod tests;
