//! The Gateways of this controller with all their listeners.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::api::gateway::ListenerSpec;
use super::api::{GROUP, Gateway, ListenerSet};
use super::classes::OwnClasses;
use super::conflict::find_conflicts;
use super::listener::{GatewayListener, ListenerOwner};
use super::objects::GatewayObjects;
use super::precedence::Precedence;
use crate::objects::ObjectName;

/// The Gateways of this controller, their ListenerSets and all their listeners.
#[derive(Debug, Default)]
pub(crate) struct View<'a> {
    /// In their precedence.
    pub(crate) gateways: Vec<GatewayView<'a>>,
    pub(crate) sets: Vec<SetView<'a>>,
    pub(crate) listeners: Vec<GatewayListener<'a>>,
}

/// A Gateway.
#[derive(Debug)]
pub(crate) struct GatewayView<'a> {
    pub(crate) object: &'a Gateway,
    pub(crate) name: ObjectName,
    /// Its own listeners.
    pub(crate) listeners: Range<usize>,
    /// Those that refer to it, in their precedence.
    pub(crate) sets: Vec<usize>,
}

/// A ListenerSet that refers to a Gateway of this controller.
#[derive(Debug)]
pub(crate) struct SetView<'a> {
    pub(crate) object: &'a ListenerSet,
    pub(crate) name: ObjectName,
    pub(crate) gateway: usize,
    /// Whether the Gateway admits it. Without that it has no listeners here.
    pub(crate) is_allowed: bool,
    pub(crate) listeners: Range<usize>,
}

impl<'a> View<'a> {
    /// The Gateways of `classes` among `objects`. Objects that are being deleted are not served any more. `max_ports`: of one
    /// Gateway with its ListenerSets.
    pub(crate) fn new(
        objects: &'a GatewayObjects,
        classes: &OwnClasses<'_>,
        max_ports: usize,
    ) -> Self {
        let gateways = objects.gateways.values().map(|gateway| &**gateway);
        let mut gateways: Vec<_> = gateways
            .filter(|gateway| classes.contains_key(&*gateway.spec.gateway_class_name))
            .filter(|gateway| gateway.metadata.deletion_timestamp.is_none())
            .collect();
        gateways.sort_by_cached_key(|gateway| Precedence::of(&gateway.metadata));
        let mut sets = sets_by_gateway(objects);
        let mut view = Self::default();
        for object in gateways {
            let name = ObjectName::of(&object.metadata);
            let sets = sets.remove(&name).unwrap_or_default();
            let first = view.listeners.len();
            view.add(object, name, sets, objects);
            limit_ports(&mut view.listeners[first..], max_ports);
        }
        view
    }

    fn add(
        &mut self,
        object: &'a Gateway,
        name: ObjectName,
        sets: Vec<&'a ListenerSet>,
        objects: &GatewayObjects,
    ) {
        let gateway = self.gateways.len();
        let first = self.listeners.len();
        let listeners = self.extend(&object.spec.listeners, gateway, ListenerOwner::Gateway);
        let mut of_objects = vec![listeners.clone()];
        let first_set = self.sets.len();
        let rule = &object.spec.allowed_listeners.namespaces;
        for object in sets {
            let set_name = ObjectName::of(&object.metadata);
            let is_allowed = rule.admits(
                &set_name.namespace,
                &name.namespace,
                &objects.namespaces,
                "None",
            );
            let specs = if is_allowed {
                &*object.spec.listeners
            } else {
                &[]
            };
            let owner = ListenerOwner::Set(self.sets.len());
            let listeners = self.extend(specs, gateway, owner);
            of_objects.push(listeners.clone());
            self.sets.push(SetView {
                object,
                name: set_name,
                gateway,
                is_allowed,
                listeners,
            });
        }
        // Ranges within the listeners of this Gateway.
        let of_objects: Vec<_> = of_objects
            .into_iter()
            .map(|range| range.start - first..range.end - first)
            .collect();
        find_conflicts(&mut self.listeners[first..], &of_objects);
        self.gateways.push(GatewayView {
            object,
            name,
            listeners,
            sets: (first_set..self.sets.len()).collect(),
        });
    }

    fn extend(
        &mut self,
        specs: &'a [ListenerSpec],
        gateway: usize,
        owner: ListenerOwner,
    ) -> Range<usize> {
        let first = self.listeners.len();
        let listeners = specs
            .iter()
            .map(|spec| GatewayListener::new(spec, gateway, owner));
        self.listeners.extend(listeners);
        first..self.listeners.len()
    }

    /// The namespace of the object that a listener is written in.
    pub(crate) fn namespace_of(&self, listener: &GatewayListener<'_>) -> &str {
        match listener.owner {
            ListenerOwner::Gateway => &self.gateways[listener.gateway].name.namespace,
            ListenerOwner::Set(set) => &self.sets[set].name.namespace,
        }
    }
}

/// Rejects the listeners of a Gateway on further ports than the first `max_ports`, in their precedence: every port is a socket, and one
/// Gateway must not have them all.
fn limit_ports(listeners: &mut [GatewayListener<'_>], max_ports: usize) {
    let mut ports = BTreeSet::new();
    let accepted = listeners.iter_mut().filter_map(|listener| {
        let port = listener.port.filter(|_| !listener.is_rejected())?;
        Some((listener, port))
    });
    for (listener, port) in accepted {
        if ports.len() < max_ports || ports.contains(&port) {
            ports.insert(port);
        } else {
            listener.above_limit = Some(max_ports);
        }
    }
}

/// The ListenerSets in their precedence, by the Gateways that they refer to.
fn sets_by_gateway(objects: &GatewayObjects) -> BTreeMap<ObjectName, Vec<&ListenerSet>> {
    let sets = objects.listener_sets.values().map(|set| &**set);
    let sets = sets.filter(|set| set.metadata.deletion_timestamp.is_none());
    let mut by_gateway: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for set in sets {
        let parent = &set.spec.parent_ref;
        let group = parent.group.as_deref().unwrap_or(GROUP);
        let kind = parent.kind.as_deref().unwrap_or("Gateway");
        if (group, kind) == (GROUP, "Gateway") {
            let own = set.metadata.namespace.as_ref();
            let namespace = parent
                .namespace
                .as_ref()
                .or(own)
                .cloned()
                .unwrap_or_default();
            let gateway = ObjectName::new(namespace, &parent.name);
            by_gateway.entry(gateway).or_default().push(set);
        }
    }
    for sets in by_gateway.values_mut() {
        sets.sort_by_cached_key(|set| Precedence::of(&set.metadata));
    }
    by_gateway
}
