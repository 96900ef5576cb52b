//! The lists of conditions in statuses.

use crate::gateway::api::class::GatewayClassStatus;
use crate::gateway::api::gateway::{GatewayStatus, ListenerStatus};
use crate::gateway::api::listener_set::ListenerSetStatus;
use crate::gateway::api::route::{ParentReference, RouteStatus};
use crate::gateway::policy::object::PolicyStatus;
use crate::objects::Condition;

/// The lists of conditions in a status, each with the part of the object that it is about. The part is empty for the object itself.
pub(super) trait ConditionLists {
    fn lists(&self) -> Vec<(String, &[Condition])>;
}

impl ConditionLists for GatewayClassStatus {
    fn lists(&self) -> Vec<(String, &[Condition])> {
        vec![(String::new(), &self.conditions)]
    }
}

impl ConditionLists for GatewayStatus {
    fn lists(&self) -> Vec<(String, &[Condition])> {
        with_listeners(&self.conditions, &self.listeners)
    }
}

impl ConditionLists for ListenerSetStatus {
    fn lists(&self) -> Vec<(String, &[Condition])> {
        with_listeners(&self.conditions, &self.listeners)
    }
}

impl ConditionLists for RouteStatus {
    fn lists(&self) -> Vec<(String, &[Condition])> {
        let parents = self.parents.iter();
        let lists = parents.map(|parent| (reference(&parent.parent_ref), &*parent.conditions));
        lists.collect()
    }
}

impl ConditionLists for PolicyStatus {
    fn lists(&self) -> Vec<(String, &[Condition])> {
        let ancestors = self.ancestors.iter();
        let lists =
            ancestors.map(|ancestor| (reference(&ancestor.ancestor_ref), &*ancestor.conditions));
        lists.collect()
    }
}

fn with_listeners<'a>(
    own: &'a [Condition],
    listeners: &'a [ListenerStatus],
) -> Vec<(String, &'a [Condition])> {
    let of_listeners = listeners.iter().map(|listener| {
        let part = format!("listener {}", listener.name);
        (part, &*listener.conditions)
    });
    std::iter::once((String::new(), own))
        .chain(of_listeners)
        .collect()
}

/// A parent as messages name it.
pub(crate) fn reference(parent: &ParentReference) -> String {
    let ParentReference {
        kind,
        namespace,
        name,
        section_name,
        port,
        ..
    } = parent;
    let mut text = format!("{} ", kind.as_deref().unwrap_or("Gateway"));
    if let Some(namespace) = namespace {
        text += &format!("{namespace}/");
    }
    text += name;
    if let Some(section) = section_name {
        text += &format!(", section {section}");
    }
    if let Some(port) = port {
        text += &format!(", port {port}");
    }
    text
}
