//! The fields of a Pod that sources use.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1;

use crate::ip_family::IpFamily;
use crate::sources::kubernetes::objects::condition::Condition;
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::port::{self, Port};
use crate::sources::kubernetes::objects::projection::Projection;

const ZONE: &str = "topology.kubernetes.io/zone";

/// The fields of a Pod that sources use.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pod {
    pub(crate) condition: Condition,
    pub(crate) host_network: bool,
    pub(crate) host_ips: Box<[IpAddr]>,
    pub(crate) ports: Box<[PodPort]>,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) uid: Option<Arc<str>>,
}

/// A TCP port that a container declares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PodPort {
    pub(crate) name: Box<str>,
    pub(crate) container: u16,
    pub(crate) host: Option<u16>,
    /// The one address of the host that the port is bound to, if it is.
    pub(crate) host_ip: Option<IpAddr>,
}

impl Projection for Pod {
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

impl Pod {
    /// The port number on the node, and the node address that the port is bound to, if it is.
    pub(crate) fn port(&self, wanted: &Port) -> Option<(u16, Option<IpAddr>)> {
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

    pub(crate) fn of_host(&self, port: &PodPort) -> Option<u16> {
        let own = || self.host_network.then_some(port.container);
        port.host.or_else(own)
    }

    pub(crate) fn address(&self, bound_to: Option<IpAddr>, families: Families) -> Option<IpAddr> {
        if bound_to.is_some_and(|ip| ip.is_loopback()) {
            return None; // reachable on the node alone
        }
        let all: &[IpAddr] = bound_to
            .as_ref()
            .map_or(&self.host_ips, std::slice::from_ref);
        let mut families = families.in_order().iter();
        families.find_map(|family| all.iter().copied().find(|ip| IpFamily::of(*ip) == *family))
    }
}
