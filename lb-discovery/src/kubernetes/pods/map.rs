//! From pods to a set. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1;
use lb_core::{Backend, Snapshot};

use crate::kubernetes::condition::{Condition, admit};
use crate::kubernetes::families::{Families, Family};
use crate::kubernetes::list_watch::Record;
use crate::kubernetes::port::{self, Port};

const ZONE: &str = "topology.kubernetes.io/zone";

/// What is needed of a Pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pod {
    condition: Condition,
    host_network: bool,
    host_ips: Box<[IpAddr]>,
    ports: Box<[PodPort]>,
    node: Option<Arc<str>>,
    zone: Option<Arc<str>>,
    uid: Option<Arc<str>>,
}

/// A TCP port that a container declares.
#[derive(Clone, Debug, PartialEq)]
struct PodPort {
    name: Box<str>,
    container: u16,
    host: Option<u16>,
    /// The one address of the host that the port is bound to, if it is.
    host_ip: Option<IpAddr>,
}

impl Record for Pod {
    type Object = v1::Pod;

    fn of(object: v1::Pod) -> Self {
        let v1::Pod {
            metadata,
            spec,
            status,
        } = object;
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let mut conditions = status.conditions.iter().flatten();
        let ready = conditions.any(|c| c.type_ == "Ready" && c.status == "True");
        let deleting = metadata.deletion_timestamp.is_some();
        let ended = matches!(status.phase.as_deref(), Some("Failed" | "Succeeded"));
        let zone = metadata.labels.as_ref().and_then(|labels| labels.get(ZONE));
        let mut host_ips: Vec<IpAddr> = status
            .host_ips
            .iter()
            .flatten()
            .map(|host| &host.ip)
            .chain(&status.host_ip)
            .filter_map(|ip| ip.parse().ok())
            .collect();
        host_ips.dedup();
        Self {
            condition: if ended {
                Condition::NotReady
            } else {
                Condition::of(ready && !deleting, ready, deleting)
            },
            host_network: spec.host_network.unwrap_or(false),
            host_ips: host_ips.into(),
            ports: ports(&spec),
            node: spec.node_name.as_deref().map(Arc::from),
            zone: zone.map(|zone| zone.as_str().into()),
            uid: metadata.uid.map(Arc::from),
        }
    }
}

/// The TCP ports of the containers that run as long as the pod does.
fn ports(spec: &v1::PodSpec) -> Box<[PodPort]> {
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|init| init.restart_policy.as_deref() == Some("Always"));
    let ports = spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|c| &c.ports);
    ports
        .flatten()
        .filter(|port| port::is_tcp(port.protocol.as_deref()))
        .filter_map(|port| {
            let host_ip = port.host_ip.as_deref().and_then(|ip| ip.parse().ok());
            Some(PodPort {
                name: port.name.as_deref().unwrap_or_default().into(),
                container: port::number(port.container_port)?,
                host: port.host_port.and_then(port::number),
                host_ip: host_ip.filter(|ip: &IpAddr| !ip.is_unspecified()),
            })
        })
        .collect()
}

/// The set of `pods`, each at the address of its node.
///
/// A backend is called after the node, which stays the same when a DaemonSet replaces its pod; the pod's UID is the
/// instance.
pub(super) fn snapshot<'a>(
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

impl Pod {
    /// The number on the node, and the only address of the node that has it.
    fn port(&self, wanted: &Port) -> Option<(u16, Option<IpAddr>)> {
        let by = |found: &dyn Fn(&PodPort) -> bool| {
            let mut offered = self.ports.iter().filter(|port| found(port));
            offered.find_map(|port| Some((self.of_host(port)?, port.host_ip)))
        };
        match wanted {
            Port::Name(name) => by(&|port| *port.name == **name),
            // In the node's network a port need not be declared.
            Port::Number(number) => by(&|port| port.host == Some(*number))
                .or_else(|| by(&|port| port.container == *number))
                .or_else(|| self.host_network.then_some((*number, None))),
        }
    }

    fn of_host(&self, port: &PodPort) -> Option<u16> {
        let own = || self.host_network.then_some(port.container);
        port.host.or_else(own)
    }

    fn address(&self, bound_to: Option<IpAddr>, families: Families) -> Option<IpAddr> {
        if bound_to.is_some_and(|ip| ip.is_loopback()) {
            return None; // reachable on the node alone
        }
        let all: &[IpAddr] = bound_to
            .as_ref()
            .map_or(&self.host_ips, std::slice::from_ref);
        let mut families = families.in_order().iter();
        families.find_map(|family| all.iter().copied().find(|ip| Family::of(*ip) == *family))
    }
}

#[cfg(test)]
mod tests;
