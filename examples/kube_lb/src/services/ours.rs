//! The Services that are served, and their requests to the pools.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::port_error::is_held;
use super::settings::ServiceSettings;
use crate::addresses::{AddressRequest, Family, Held, Owner};
use crate::config::Config;
use crate::names::{DOMAIN, FINALIZER};
use crate::objects::{Service, ServicePort};

/// Why a Service is not served.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotOurs {
    /// It asks for no load balancer.
    #[error("its type is {0}, and only Services of type LoadBalancer are served")]
    Type(String),
    /// It asks for the default load balancer of the cluster.
    #[error(
        "it has no loadBalancerClass, so the default load balancer of the cluster serves it: set `default_class: true` if that is this program"
    )]
    NoClass,
    /// It asks for another load balancer.
    #[error("its loadBalancerClass is {theirs:?}, and this program serves {ours:?}")]
    OtherClass {
        /// The class of the Service.
        theirs: String,
        /// The class of the program.
        ours: String,
    },
    /// It is being deleted.
    #[error("it is being deleted")]
    Deleting,
}

/// Whether a Service is served.
///
/// # Errors
///
/// Why it is not.
pub fn check_ours(service: &Service, config: &Config) -> Result<(), NotOurs> {
    let spec = &service.spec;
    if spec.kind != "LoadBalancer" {
        return Err(NotOurs::Type(spec.kind.clone()));
    }
    match &spec.load_balancer_class {
        None if !config.is_default_class => return Err(NotOurs::NoClass),
        Some(theirs) if *theirs != config.class => {
            return Err(NotOurs::OtherClass {
                theirs: theirs.clone(),
                ours: config.class.clone(),
            });
        }
        _ => {}
    }
    match service.metadata.deletion_timestamp {
        Some(_) => Err(NotOurs::Deleting),
        None => Ok(()),
    }
}

/// Whether a Service that is not served has something left of the time when it was: the finalizer or conditions.
pub fn leftover(service: &Service, config: &Config) -> bool {
    match check_ours(service, config) {
        Err(NotOurs::Deleting) => {
            let mut finalizers = service.metadata.finalizers.iter();
            finalizers.any(|name| name == FINALIZER)
        }
        Err(NotOurs::Type(_)) => {
            let mut conditions = service.status.conditions.iter();
            conditions.any(|condition| condition.kind.starts_with(DOMAIN))
        }
        // Another controller serves it, maybe another deployment of this program.
        Ok(()) | Err(NotOurs::NoClass | NotOurs::OtherClass { .. }) => false,
    }
}

/// What a Service asks of the pools.
pub fn address_request(
    service: &Service,
    settings: &ServiceSettings,
    max_ports: usize,
) -> AddressRequest {
    let metadata = &service.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    AddressRequest {
        owner: Owner::service(namespace, metadata.name.clone()),
        created: service.created().to_owned(),
        families: families(service),
        needs_all_families: service.spec.ip_family_policy.as_deref() != Some("PreferDualStack"),
        ports: tcp_ports(service, max_ports)
            .map(|(_, number)| number)
            .collect(),
        wanted: wanted(service, settings),
        pool: settings.pool.clone(),
        held: held(service),
    }
}

/// The TCP ports that are served and their numbers, in the order of the specification.
pub(super) fn tcp_ports(
    service: &Service,
    max_ports: usize,
) -> impl Iterator<Item = (&ServicePort, u16)> {
    let tcp = service.spec.ports.iter().filter(|port| port.is_tcp());
    let numbered = tcp.filter_map(|port| Some((port, port.number()?)));
    numbered.take(max_ports)
}

fn families(service: &Service) -> Vec<Family> {
    let families = service.spec.ip_families.iter();
    let mut families: Vec<_> = families
        .filter_map(|family| match family.as_str() {
            "IPv4" => Some(Family::Ipv4),
            "IPv6" => Some(Family::Ipv6),
            _ => None,
        })
        .collect();
    if families.is_empty() {
        families.push(Family::Ipv4);
    }
    families
}

/// The requested addresses: those of the annotation, or that of the deprecated field.
fn wanted(service: &Service, settings: &ServiceSettings) -> Vec<IpAddr> {
    if !settings.addresses.is_empty() {
        return settings.addresses.clone();
    }
    let field = service.spec.load_balancer_ip.as_deref();
    // The API server does not validate the field: an invalid one is reported by `planner`.
    field
        .and_then(|text| text.trim().parse().ok())
        .into_iter()
        .collect()
}

/// What the status says that it has.
fn held(service: &Service) -> Vec<Held> {
    let ingress = service.status.load_balancer.ingress.iter();
    let held = ingress.filter_map(|ingress| {
        let ports = ingress
            .ports
            .iter()
            .filter(|port| port.protocol == "TCP" && is_held(port));
        let ports = ports.filter_map(|port| u16::try_from(port.port).ok());
        Some(Held {
            ip: ingress.ip.parse().ok()?,
            ports: ports.collect::<BTreeSet<_>>(),
        })
    });
    held.collect()
}
