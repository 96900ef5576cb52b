//! Attachment of routes to listeners.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::api::route::{ParentReference, RouteObject};
use super::api::{GROUP, TcpRoute, TlsRoute};
use super::backends::ResolvedBackends;
use super::host_pattern::HostPattern;
use super::listener::GatewayListener;
use super::objects::{GatewayObjects, Services};
use super::permissions::Permissions;
use super::precedence::Precedence;
use super::protocol::RouteKind;
use super::view::View;
use crate::objects::ObjectName;

/// A route with a parent of this controller.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) kind: RouteKind,
    pub(crate) object: &'a RouteObject,
    pub(crate) name: ObjectName,
    pub(crate) backends: ResolvedBackends,
    pub(crate) parents: Vec<Parent<'a>>,
}

/// A parent of this controller that a route names.
#[derive(Debug)]
pub(crate) struct Parent<'a> {
    pub(crate) reference: &'a ParentReference,
    /// The listeners that the route is attached to, at least one, or else the reason of the API and a text.
    pub(crate) outcome: Result<Vec<Attachment>, (&'static str, String)>,
}

/// A listener that a route is attached to.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// Its index in the view.
    pub(crate) listener: usize,
    /// The names for which the route is meant there, each once. One for TCP: any.
    pub(crate) hosts: Vec<HostPattern>,
}

/// The routes with parents in `view`, in their precedence.
pub(crate) fn attach<'a>(
    objects: &'a GatewayObjects,
    services: &Services,
    view: &View<'_>,
) -> Vec<Route<'a>> {
    let parents = Parents::of(view);
    let permissions = Permissions::of(&objects.grants);
    let tcp = objects.tcp_routes.values().map(|route| {
        let TcpRoute(object) = &**route;
        (RouteKind::Tcp, object)
    });
    let tls = objects.tls_routes.values().map(|route| {
        let TlsRoute(object) = &**route;
        (RouteKind::Tls, object)
    });
    let all = tcp
        .chain(tls)
        .filter(|(_, object)| object.metadata.deletion_timestamp.is_none());
    let mut routes: Vec<_> = all
        .filter_map(|(kind, object)| {
            let name = ObjectName::of(&object.metadata);
            let route = RouteToAttach::new(kind, object, &name.namespace);
            let refs = object.spec.parent_refs.iter();
            let parents: Vec<_> = refs
                .filter_map(|reference| route.attach(reference, &parents, objects))
                .collect();
            if parents.is_empty() {
                return None;
            }
            let backends =
                ResolvedBackends::new(kind, object, &name.namespace, &permissions, services);
            Some(Route {
                kind,
                object,
                name,
                backends,
                parents,
            })
        })
        .collect();
    routes.sort_by_cached_key(|route| Precedence::of(&route.object.metadata));
    routes
}

/// The objects of a view that routes may name.
struct Parents<'a> {
    view: &'a View<'a>,
    listeners: BTreeMap<(&'static str, &'a ObjectName), Range<usize>>,
}

impl<'a> Parents<'a> {
    fn of(view: &'a View<'a>) -> Self {
        let gateways = view.gateways.iter();
        let gateways =
            gateways.map(|gateway| (("Gateway", &gateway.name), gateway.listeners.clone()));
        let sets = view.sets.iter();
        let sets = sets.map(|set| (("ListenerSet", &set.name), set.listeners.clone()));
        Self {
            view,
            listeners: gateways.chain(sets).collect(),
        }
    }

    /// The listeners of the named object. `None` if it is not one of this controller.
    fn find(&self, reference: &ParentReference, namespace: &str) -> Option<Range<usize>> {
        let group = reference.group.as_deref().unwrap_or(GROUP);
        let kind = match reference.kind.as_deref().unwrap_or("Gateway") {
            "Gateway" => "Gateway",
            "ListenerSet" => "ListenerSet",
            _ => return None,
        };
        let namespace = reference.namespace.as_deref().unwrap_or(namespace);
        let name = ObjectName::new(namespace, &reference.name);
        let found = self.listeners.get(&(kind, &name)).cloned();
        found.filter(|_| group == GROUP)
    }
}

struct RouteToAttach<'a, 'n> {
    kind: RouteKind,
    object: &'a RouteObject,
    namespace: &'n str,
    /// The names that it is for, of which there may be 1024, each once.
    hosts: BTreeSet<HostPattern>,
}

impl<'a, 'n> RouteToAttach<'a, 'n> {
    fn new(kind: RouteKind, object: &'a RouteObject, namespace: &'n str) -> Self {
        let hostnames = object.spec.hostnames.iter();
        let hosts = hostnames.filter(|_| kind == RouteKind::Tls);
        Self {
            kind,
            object,
            namespace,
            hosts: hosts.filter_map(|name| HostPattern::parse(name)).collect(),
        }
    }

    fn attach(
        &self,
        reference: &'a ParentReference,
        parents: &Parents<'_>,
        objects: &GatewayObjects,
    ) -> Option<Parent<'a>> {
        let range = parents.find(reference, self.namespace)?;
        let outcome = self.listeners(reference, range, parents.view, objects);
        Some(Parent { reference, outcome })
    }

    fn listeners(
        &self,
        reference: &ParentReference,
        range: Range<usize>,
        view: &View<'_>,
        objects: &GatewayObjects,
    ) -> Result<Vec<Attachment>, (&'static str, String)> {
        let selected: Vec<usize> = range
            .filter(|&i| selects(reference, &view.listeners[i]))
            .collect();
        if selected.is_empty() {
            let text = "the parent has no listener with this sectionName and port";
            return Err(("NoMatchingParent", text.to_owned()));
        }
        let is_allowed = |listener: &GatewayListener<'_>| {
            let rule = &listener.spec.allowed_routes.namespaces;
            let to = view.namespace_of(listener);
            listener.kinds.kind == Some(self.kind)
                && rule.admits(self.namespace, to, &objects.namespaces, "Same")
        };
        let mut allowed = selected
            .into_iter()
            .filter(|&i| is_allowed(&view.listeners[i]))
            .peekable();
        if allowed.peek().is_none() {
            let text = format!(
                "no listener allows a {} of the namespace {}",
                self.kind, self.namespace
            );
            return Err(("NotAllowedByListeners", text));
        }
        let attached = allowed.filter_map(|listener| {
            let hosts = self.hosts(&view.listeners[listener].host);
            (!hosts.is_empty()).then_some(Attachment { listener, hosts })
        });
        let attached: Vec<_> = attached.collect();
        if attached.is_empty() {
            let text = "no host name of the route is one of the listener's";
            return Err(("NoMatchingListenerHostname", text.to_owned()));
        }
        Ok(attached)
    }

    /// The names that the route and a listener have in common.
    fn hosts(&self, listener: &HostPattern) -> Vec<HostPattern> {
        if self.kind == RouteKind::Tcp || self.object.spec.hostnames.is_empty() {
            return vec![listener.clone()];
        }
        // Several may have the listener's own name in common with it.
        let common = self
            .hosts
            .iter()
            .filter_map(|host| host.intersection(listener));
        let common: BTreeSet<_> = common.collect();
        common.into_iter().collect()
    }
}

/// Whether a reference means this listener of the object that it names.
fn selects(reference: &ParentReference, listener: &GatewayListener<'_>) -> bool {
    let section = reference
        .section_name
        .as_deref()
        .filter(|name| !name.is_empty());
    section.is_none_or(|name| name == listener.spec.name)
        && reference.port.is_none_or(|port| port == listener.spec.port)
}
