//! What ReferenceGrants permit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::api::{GROUP, ReferenceGrant};
use super::protocol::RouteKind;
use crate::objects::ObjectName;

/// The references of routes to Services of other namespaces that ReferenceGrants permit.
///
/// A lookup costs O(log n): one owner of two namespaces could make thousands of grants and of routes that need them.
#[derive(Debug, Default)]
pub(crate) struct Permissions<'a> {
    /// By the kind and namespace of the route and the namespace of the Service.
    permitted: BTreeMap<(RouteKind, &'a str, &'a str), PermittedNames<'a>>,
}

/// The Services of a namespace that a reference may name.
#[derive(Debug, Default)]
struct PermittedNames<'a> {
    any: bool,
    names: BTreeSet<&'a str>,
}

impl<'a> Permissions<'a> {
    pub(crate) fn of(grants: &'a BTreeMap<String, Arc<ReferenceGrant>>) -> Self {
        let mut permissions = Self::default();
        for grant in grants.values() {
            permissions.add(grant);
        }
        permissions
    }

    fn add(&mut self, grant: &'a ReferenceGrant) {
        let services = grant.metadata.namespace.as_deref().unwrap_or_default();
        for from in grant.spec.from.iter().filter(|from| from.group == GROUP) {
            let kinds = [RouteKind::Tcp, RouteKind::Tls].into_iter();
            for kind in kinds.filter(|kind| kind.name() == from.kind) {
                let to = grant.spec.to.iter();
                for to in to.filter(|to| (&*to.group, &*to.kind) == ("", "Service")) {
                    let key = (kind, &*from.namespace, services);
                    let permitted = self.permitted.entry(key).or_default();
                    match to.name.as_deref().filter(|name| !name.is_empty()) {
                        None => permitted.any = true,
                        Some(name) => {
                            permitted.names.insert(name);
                        }
                    }
                }
            }
        }
    }

    /// Whether a route of this kind in `namespace` may refer to `service`.
    pub(crate) fn permit(&self, kind: RouteKind, namespace: &str, service: &ObjectName) -> bool {
        let is_own = namespace == service.namespace;
        let key = (kind, namespace, service.namespace.as_str());
        let permitted = self.permitted.get(&key);
        is_own
            || permitted.is_some_and(|permitted| {
                permitted.any || permitted.names.contains(service.name.as_str())
            })
    }
}
