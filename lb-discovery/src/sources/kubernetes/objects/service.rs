//! The fields of a Service that sources use.

use k8s_openapi::api::core::v1;

use crate::ip_family::IpFamily;
use crate::sources::kubernetes::objects::families::parse_family;
use crate::sources::kubernetes::objects::port::{self, Port};
use crate::sources::kubernetes::objects::projection::Projection;

/// The reason why a Service that does not exist has no backends. Its remaining slices and node ports do not count.
pub(crate) const NO_SERVICE: &str = "no such Service";

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Service {
    /// `spec.type`.
    pub(crate) kind: Box<str>,
    /// Whether it selects pods, so that a controller maintains its EndpointSlices.
    pub(crate) has_selector: bool,
    /// Whether `externalTrafficPolicy` is `Local`: a node forwards only to its own pods.
    pub(crate) is_local: bool,
    /// `spec.ipFamilies`; empty on servers without dual-stack, which means any.
    pub(crate) families: Box<[IpFamily]>,
    /// Its TCP ports.
    pub(crate) ports: Box<[ServicePort]>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ServicePort {
    /// Empty for a port without a name, which a Service's only port may be.
    pub(crate) name: Box<str>,
    pub(crate) number: u16,
    pub(crate) node_port: Option<u16>,
}

impl Projection for Service {
    type Object = v1::Service;

    fn of(object: v1::Service) -> Self {
        let spec = object.spec.unwrap_or_default();
        let ports = spec.ports.unwrap_or_default().into_iter();
        let families = spec.ip_families.unwrap_or_default();
        Self {
            has_selector: spec.selector.is_some_and(|selector| !selector.is_empty()),
            kind: spec.type_.unwrap_or_else(|| "ClusterIP".to_owned()).into(),
            is_local: spec.external_traffic_policy.as_deref() == Some("Local"),
            families: families.iter().filter_map(|f| parse_family(f)).collect(),
            ports: ports
                .filter(|port| port::is_tcp(port.protocol.as_deref()))
                .filter_map(|port| {
                    Some(ServicePort {
                        number: port::number(port.port)?,
                        node_port: port.node_port.and_then(port::number),
                        name: port.name.unwrap_or_default().into(),
                    })
                })
                .collect(),
        }
    }
}

impl Service {
    /// Fails for a Service of type ExternalName, which has no endpoints and no node ports, whatever its other fields say. No
    /// controller updates slices from before it was of that type, and kube-proxy uses none.
    pub(crate) fn check_kind(&self) -> Result<(), String> {
        if &*self.kind != "ExternalName" {
            return Ok(());
        }
        let problem = "the Service's type is ExternalName, which leads to a name and to no endpoint of the cluster: \
                       balance over that name by DNS";
        Err(problem.to_owned())
    }

    /// The `wanted` port; without one, the only port.
    pub(crate) fn port(&self, wanted: Option<&Port>) -> Result<&ServicePort, String> {
        let found = match wanted {
            None if self.ports.len() == 1 => self.ports.first(),
            None => None,
            Some(wanted) => self.ports.iter().find(|port| match wanted {
                Port::Name(name) => *port.name == **name,
                Port::Number(number) => port.number == *number,
            }),
        };
        found.ok_or_else(|| {
            let has = port::list(self.ports.iter().map(|p| (&*p.name, Some(p.number))));
            match wanted {
                Some(wanted) => format!("the Service has no TCP port {wanted}, it has: {has}"),
                None => format!("say which port of the Service is meant, it has: {has}"),
            }
        })
    }
}
