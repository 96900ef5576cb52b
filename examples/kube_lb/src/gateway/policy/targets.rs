//! The targets of policies.

use std::collections::BTreeMap;
use std::ops::Range;

use super::object::PolicyTarget;
use crate::gateway::api::GROUP;
use crate::gateway::api::route::ParentReference;
use crate::gateway::attach::Route;
use crate::gateway::protocol::RouteKind;
use crate::gateway::view::View;
use crate::objects::ObjectName;

/// What may have one policy.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Slot {
    Gateway(usize, Option<String>),
    Set(usize, Option<String>),
    Route(usize),
}

/// The objects that policies may have as targets, by name.
pub(super) struct Targets<'a> {
    view: &'a View<'a>,
    gateways: BTreeMap<&'a ObjectName, usize>,
    sets: BTreeMap<&'a ObjectName, usize>,
    routes: BTreeMap<(RouteKind, &'a ObjectName), usize>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(view: &'a View<'a>, routes: &'a [Route<'a>]) -> Self {
        let gateways = view.gateways.iter().enumerate();
        let sets = view.sets.iter().enumerate();
        let routes = routes.iter().enumerate();
        Self {
            view,
            gateways: gateways.map(|(i, gateway)| (&gateway.name, i)).collect(),
            sets: sets.map(|(i, set)| (&set.name, i)).collect(),
            routes: routes
                .map(|(i, route)| ((route.kind, &route.name), i))
                .collect(),
        }
    }

    /// Finds the target of a policy of `namespace`.
    pub(super) fn find(
        &self,
        target: &PolicyTarget,
        namespace: &str,
    ) -> Result<Slot, (&'static str, String)> {
        let view = self.view;
        let PolicyTarget {
            group,
            kind,
            name,
            section_name: section,
        } = target;
        let name = ObjectName::new(namespace, name);
        let missing = || {
            (
                "TargetNotFound",
                format!("this controller has no {kind} {name}"),
            )
        };
        let has_section = |listeners: &Range<usize>| match section {
            Some(section) if !has_listener(view, listeners, section) => Err((
                "TargetNotFound",
                format!("{kind} {name} has no listener {section}"),
            )),
            _ => Ok(()),
        };
        let route = |kind| {
            if section.is_some() {
                return Err((
                    "Invalid",
                    "rules of routes cannot have policies: leave sectionName out".to_owned(),
                ));
            }
            let found = self.routes.get(&(kind, &name));
            found.map(|route| Slot::Route(*route)).ok_or_else(missing)
        };
        match (group.as_str(), kind.as_str()) {
            (GROUP, "Gateway") => {
                let found = *self.gateways.get(&name).ok_or_else(missing)?;
                has_section(&view.gateways[found].listeners)?;
                Ok(Slot::Gateway(found, section.clone()))
            }
            (GROUP, "ListenerSet") => {
                let found = *self.sets.get(&name).ok_or_else(missing)?;
                has_section(&view.sets[found].listeners)?;
                Ok(Slot::Set(found, section.clone()))
            }
            (GROUP, "TCPRoute") => route(RouteKind::Tcp),
            (GROUP, "TLSRoute") => route(RouteKind::Tls),
            _ => Err((
                "Invalid",
                format!("objects of the kind {kind} cannot have this policy"),
            )),
        }
    }
}

fn has_listener(view: &View<'_>, listeners: &Range<usize>, name: &str) -> bool {
    let mut listeners = view.listeners[listeners.clone()].iter();
    listeners.any(|listener| listener.spec.name == name)
}

/// The Gateways of a target, each once. Of one that is not known, the target itself.
pub(super) fn ancestors(
    slot: Option<&Slot>,
    target: &PolicyTarget,
    namespace: &str,
    view: &View<'_>,
    routes: &[Route<'_>],
) -> Vec<ParentReference> {
    let gateway = |index: usize| {
        let ObjectName { namespace, name } = view.gateways[index].name.clone();
        ParentReference {
            group: Some(GROUP.to_owned()),
            kind: Some("Gateway".to_owned()),
            namespace: Some(namespace),
            name,
            ..ParentReference::default()
        }
    };
    let mut indices: Vec<usize> = match slot {
        None => {
            return vec![ParentReference {
                group: Some(target.group.clone()),
                kind: Some(target.kind.clone()),
                namespace: Some(namespace.to_owned()),
                name: target.name.clone(),
                section_name: target.section_name.clone(),
                port: None,
            }];
        }
        Some(Slot::Gateway(index, _)) => vec![*index],
        Some(Slot::Set(set, _)) => vec![view.sets[*set].gateway],
        Some(Slot::Route(route)) => {
            let parents = routes[*route].parents.iter();
            let attached = parents
                .filter_map(|parent| parent.outcome.as_ref().ok())
                .flatten();
            attached
                .map(|attachment| view.listeners[attachment.listener].gateway)
                .collect()
        }
    };
    indices.sort_unstable();
    indices.dedup();
    indices.into_iter().map(gateway).collect()
}
