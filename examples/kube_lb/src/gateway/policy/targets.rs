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

/// The objects that policies may have as targets.
pub(super) struct PolicyTargets<'a> {
    view: &'a View<'a>,
    routes: &'a [Route<'a>],
    /// The indices of the objects, by their names.
    gateways: BTreeMap<&'a ObjectName, usize>,
    sets: BTreeMap<&'a ObjectName, usize>,
    numbers: BTreeMap<(RouteKind, &'a ObjectName), usize>,
}

impl<'a> PolicyTargets<'a> {
    pub(super) fn of(view: &'a View<'a>, routes: &'a [Route<'a>]) -> Self {
        let gateways = view.gateways.iter().enumerate();
        let sets = view.sets.iter().enumerate();
        let numbers = routes.iter().enumerate();
        Self {
            view,
            routes,
            gateways: gateways.map(|(i, gateway)| (&gateway.name, i)).collect(),
            sets: sets.map(|(i, set)| (&set.name, i)).collect(),
            numbers: numbers
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
        let name = ObjectName::new(namespace, &target.name);
        let missing = || {
            let text = format!("this controller has no {} {name}", target.kind);
            ("TargetNotFound", text)
        };
        let section = &target.section_name;
        let route = |kind| {
            if section.is_some() {
                let text = "rules of routes cannot have policies: leave sectionName out";
                return Err(("Invalid", text.to_owned()));
            }
            let found = self.numbers.get(&(kind, &name)).copied();
            found.map(Slot::Route).ok_or_else(missing)
        };
        match (target.group.as_str(), target.kind.as_str()) {
            (GROUP, "Gateway") => {
                let found = *self.gateways.get(&name).ok_or_else(missing)?;
                self.check_section(target, &name, &self.view.gateways[found].listeners)?;
                Ok(Slot::Gateway(found, section.clone()))
            }
            (GROUP, "ListenerSet") => {
                let found = *self.sets.get(&name).ok_or_else(missing)?;
                self.check_section(target, &name, &self.view.sets[found].listeners)?;
                Ok(Slot::Set(found, section.clone()))
            }
            (GROUP, "TCPRoute") => route(RouteKind::Tcp),
            (GROUP, "TLSRoute") => route(RouteKind::Tls),
            (_, kind) => {
                let text = format!("objects of the kind {kind} cannot have this policy");
                Err(("Invalid", text))
            }
        }
    }

    /// Whether one of `listeners` has the name in `target`, if that has one.
    fn check_section(
        &self,
        target: &PolicyTarget,
        name: &ObjectName,
        listeners: &Range<usize>,
    ) -> Result<(), (&'static str, String)> {
        let Some(section) = &target.section_name else {
            return Ok(());
        };
        let mut listeners = self.view.listeners[listeners.clone()].iter();
        if listeners.any(|listener| listener.spec.name == *section) {
            return Ok(());
        }
        let text = format!("{} {name} has no listener {section}", target.kind);
        Err(("TargetNotFound", text))
    }

    /// The Gateways of a target, each once. Of one that is not known, the target itself.
    pub(super) fn ancestors(
        &self,
        slot: Option<&Slot>,
        target: &PolicyTarget,
        namespace: &str,
    ) -> Vec<ParentReference> {
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
            Some(Slot::Set(set, _)) => vec![self.view.sets[*set].gateway],
            Some(Slot::Route(route)) => {
                let parents = self.routes[*route].parents.iter();
                let attached = parents
                    .filter_map(|parent| parent.outcome.as_ref().ok())
                    .flatten();
                attached
                    .map(|attachment| self.view.listeners[attachment.listener].gateway)
                    .collect()
            }
        };
        indices.sort_unstable();
        indices.dedup();
        let gateways = indices
            .into_iter()
            .map(|index| &self.view.gateways[index].name);
        gateways.map(gateway_reference).collect()
    }
}

fn gateway_reference(name: &ObjectName) -> ParentReference {
    let ObjectName { namespace, name } = name.clone();
    ParentReference {
        group: Some(GROUP.to_owned()),
        kind: Some("Gateway".to_owned()),
        namespace: Some(namespace),
        name,
        ..ParentReference::default()
    }
}
