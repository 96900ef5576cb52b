//! The backends of a route: Services with their weights, and refusals for those that cannot be used.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::route::{BackendRef, RouteObject, RouteRule};
use super::api::{GROUP, ReferenceGrant};
use super::objects::Services;
use super::protocol::RouteKind;
use crate::objects::{ObjectName, ServicePort};

/// The weight of a reference that has none.
const DEFAULT_WEIGHT: i32 = 1;

/// A port of a Service, by its number in the Service.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ReferencedPort {
    pub(crate) service: ObjectName,
    pub(crate) port: u16,
}

/// What gets a share of the connections of a route.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum BackendTarget {
    /// They are refused, for this reason.
    Refuse(String),
    Service(ReferencedPort),
}

/// The backends of a route.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct ResolvedBackends {
    /// The weights and targets in the order of the references.
    pub(crate) shares: Vec<(u32, BackendTarget)>,
    /// The reason of the first reference that cannot be used, and a text about all of them.
    pub(crate) problem: Option<(&'static str, String)>,
    /// How many rules are not used, because a route has one.
    pub(crate) dropped_rules: usize,
}

impl ResolvedBackends {
    /// Resolves the references of a route. Each that cannot be used keeps its weight as a refusal.
    pub(crate) fn new(
        kind: RouteKind,
        route: &RouteObject,
        namespace: &str,
        grants: &BTreeMap<String, Arc<ReferenceGrant>>,
        services: &Services,
    ) -> Self {
        let rules = &route.spec.rules;
        let refs = rules
            .first()
            .map_or(&[][..], |RouteRule { backend_refs }| backend_refs);
        let from = ReferenceFrom { kind, namespace };
        let mut resolved = Self {
            dropped_rules: rules.len().saturating_sub(1),
            ..Self::default()
        };
        let mut texts: Vec<String> = Vec::new();
        for reference in refs {
            let weight = reference.weight.unwrap_or(DEFAULT_WEIGHT);
            let target = match from.resolve(reference, grants, services) {
                Ok(port) => BackendTarget::Service(port),
                Err((reason, text)) => {
                    resolved
                        .problem
                        .get_or_insert_with(|| (reason, String::new()));
                    if !texts.contains(&text) {
                        texts.push(text.clone());
                    }
                    BackendTarget::Refuse(text)
                }
            };
            resolved
                .shares
                .push((u32::try_from(weight).unwrap_or(0), target));
        }
        if let Some((_, text)) = &mut resolved.problem {
            *text = texts.join("; ");
        }
        resolved
    }
}

/// The grants of a namespace. Their keys begin with it.
fn grants_of<'a>(
    namespace: &str,
    grants: &'a BTreeMap<String, Arc<ReferenceGrant>>,
) -> impl Iterator<Item = &'a ReferenceGrant> {
    let prefix = format!("{namespace}/");
    let grants = grants.range(prefix.clone()..);
    let own = grants.take_while(move |(key, _)| key.starts_with(&prefix));
    own.map(|(_, grant)| &**grant)
}

/// Where references come from.
#[derive(Clone, Copy)]
struct ReferenceFrom<'a> {
    kind: RouteKind,
    namespace: &'a str,
}

impl ReferenceFrom<'_> {
    fn resolve(
        self,
        reference: &BackendRef,
        grants: &BTreeMap<String, Arc<ReferenceGrant>>,
        services: &Services,
    ) -> Result<ReferencedPort, (&'static str, String)> {
        let group = reference.group.as_deref().unwrap_or_default();
        let kind = reference.kind.as_deref().unwrap_or("Service");
        let namespace = reference.namespace.as_deref().unwrap_or(self.namespace);
        let service = ObjectName::new(namespace, &reference.name);
        if (group, kind) != ("", "Service") {
            let dot = if group.is_empty() { "" } else { "." };
            let text = format!("{kind}{dot}{group} {service} is no Service");
            return Err(("InvalidKind", text));
        }
        let is_permitted = |grant: &ReferenceGrant| self.is_permitted_by(grant, &reference.name);
        if namespace != self.namespace && !grants_of(namespace, grants).any(is_permitted) {
            let text = format!(
                "no ReferenceGrant permits {} to refer to Service {service}",
                self.kind
            );
            return Err(("RefNotPermitted", text));
        }
        let Some(known) = services.get(&service.to_string()) else {
            return Err((
                "BackendNotFound",
                format!("Service {service} does not exist"),
            ));
        };
        if known.spec.kind == "ExternalName" {
            let text = format!("Service {service} is an ExternalName, which is not supported");
            return Err(("InvalidKind", text));
        }
        let number = reference.port.unwrap_or_default();
        let ports = known.spec.ports.iter();
        let mut of_number = ports.filter(|port| port.port == number).peekable();
        if of_number.peek().is_none() {
            let text = format!("Service {service} has no port {number}");
            return Err(("BackendNotFound", text));
        }
        match u16::try_from(number) {
            Ok(port) if of_number.any(ServicePort::is_tcp) => Ok(ReferencedPort { service, port }),
            _ => {
                let text = format!("port {number} of Service {service} is no TCP port");
                Err(("UnsupportedProtocol", text))
            }
        }
    }

    /// Whether `grant`, which is in the namespace of the Service, permits a reference to the Service `name`.
    fn is_permitted_by(self, grant: &ReferenceGrant, name: &str) -> bool {
        let mut from = grant.spec.from.iter();
        let mut to = grant.spec.to.iter();
        from.any(|from| {
            (&*from.group, &*from.kind, &*from.namespace)
                == (GROUP, self.kind.name(), self.namespace)
        }) && to.any(|to| {
            let is_named = to
                .name
                .as_deref()
                .is_none_or(|only| only.is_empty() || only == name);
            (&*to.group, &*to.kind) == ("", "Service") && is_named
        })
    }
}
